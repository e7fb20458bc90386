"""Whose address a request comes from, where proxies that we trust stand in front.

`X-Forwarded-For` is written by anybody; only what our own proxies appended to it is true. So it is read from the right,
past trusted addresses, and only if the peer itself is one of them.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

_HEADER = b"x-forwarded-for"
_WITH_PORT = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<four>[0-9.]+))(?::[0-9]{1,5})?", re.ASCII)

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Proxies:
    """The networks, in CIDR notation, of the proxies that are trusted."""

    def __init__(self, networks: Iterable[str] = ()) -> None:
        self._networks = tuple(ipaddress.ip_network(network) for network in networks)

    def trust(self, peer: str | None) -> bool:
        """Whether `peer` is one of ours. False for what is no address."""
        address = None if peer is None else _address(peer)
        return address is not None and self._hold(address)

    def _hold(self, address: _Address) -> bool:
        return any(address in network for network in self._networks)

    def origin(self, peer: str, headers: Iterable[tuple[bytes, bytes]]) -> str | None:
        """The nearest address that is not a proxy of ours; of trusted ones alone, the farthest.

        `None` where a trusted proxy names nobody, or what is no address: its own would pass for that of all its callers.
        """
        origin = _address(peer)
        if origin is None or not self._hold(origin):
            return peer
        named = b",".join(value for name, value in headers if name == _HEADER)
        for part in reversed(named.split(b",")):
            origin = _hop(part.strip().decode("latin-1"))
            if origin is None or not self._hold(origin):
                break
        return None if origin is None else str(origin)


def _hop(text: str) -> _Address | None:
    """The address of one hop, which some proxies write with its port."""
    with_port = _WITH_PORT.fullmatch(text)
    return _address((with_port["six"] or with_port["four"]) if with_port else text)


def _address(text: str) -> _Address | None:
    """The address; an IPv4 one that came over IPv6 as the IPv4 one. `None` for what is none."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
