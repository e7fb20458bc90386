"""Which Host headers a listener answers to. Host is used for nothing else: no route, no redirect and no link is made of it.

A page in a browser can be made to call a server on this machine under a name of the page's own (DNS rebinding); the name
is then what gives it away. An address cannot be bound to another, so addresses are always accepted.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

ANY = "*"
MAX_REMEMBERED = 1024
_HOST = re.compile(rb"(?P<name>\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(?::[0-9]{1,5})?")


class Hosts:
    """`names` are the ones to answer to besides addresses and localhost; with `ANY` among them, all do."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(name.lower().rstrip(".") for name in names)
        self._accepted: set[bytes] = set()

    def accept(self, raw: bytes) -> bool:
        """Whether the Host header `raw`, with or without a port, is well-formed and answered to."""
        if raw in self._accepted:
            return True
        match = _HOST.fullmatch(raw)
        if match is None or not self._answers_to(match["name"].decode("ascii").lower().rstrip(".")):
            return False
        if len(self._accepted) < MAX_REMEMBERED:
            self._accepted.add(raw)
        return True

    def _answers_to(self, name: str) -> bool:
        if _is_address(name):
            return True
        if not name or name.startswith("["):
            return False
        return ANY in self._names or name in self._names or name == "localhost" or name.endswith(".localhost")


def _is_address(name: str) -> bool:
    try:
        if name.startswith("["):
            return ipaddress.ip_address(name[1:-1]).version == 6  # noqa: PLR2004 - brackets are for IPv6 (RFC 3986, 3.2.2)
        return ipaddress.ip_address(name).version == 4  # noqa: PLR2004
    except ValueError:
        return False
