"""Whose address a request comes from, where proxies that we trust stand in front.

`X-Forwarded-For` is written by anybody; only what our own proxies appended to it is true. So it is read from the right,
past trusted addresses, and only if the peer itself is one of them.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

_HEADER = b"x-forwarded-for"


class Proxies:
    """The networks, in CIDR notation, of the proxies that are trusted."""

    def __init__(self, networks: Iterable[str] = ()) -> None:
        self._networks = tuple(ipaddress.ip_network(network) for network in networks)

    def trust(self, peer: str | None) -> bool:
        """Whether `peer` is one of ours. False for what is no address."""
        if not self._networks or peer is None:
            return False
        try:
            address = ipaddress.ip_address(peer)
        except ValueError:
            return False
        return any(address in network for network in self._networks)

    def origin(self, peer: str, headers: Iterable[tuple[bytes, bytes]]) -> str:
        """The nearest address that is not a proxy of ours; `peer` when the header names none."""
        origin = peer
        named = b",".join(value for name, value in headers if name == _HEADER)
        for part in reversed(named.split(b",")):
            hop = part.strip().decode("latin-1")
            try:
                origin = str(ipaddress.ip_address(hop))
            except ValueError:
                return origin
            if not self.trust(origin):
                return origin
        return origin
