"""HTTP limits, the part that the connections of one listener share: how many there may be, and for how long each.

uvicorn reads headers without an end, waits for them for ever and takes any number of connections. `Guard` counts
connections and looks at the time of all of them twice a second, so that none has a timer of its own; `guarded` holds
each within the limits.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from gateway.core.errors import TooManyConnections
from gateway.proxy.addresses import Proxies
from gateway.proxy.hosts import Hosts

PRESSED_SHARE = 0.9
"""From this share of `HttpLimits.connections` on, idle connections are closed early."""


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """Bounds on what a client may do with a connection. Precedents: Envoy's edge guide, Apache, nginx."""

    header_bytes: int = 16 * 1024
    header_fields: int = 100
    header_seconds: float = 10.0
    """From the connection, or the first byte of a request, to the end of its header block."""
    body_seconds: float = 30.0
    body_bytes_per_second: int = 1024
    idle_seconds: float = 75.0
    send_seconds: float = 30.0
    """How long a client that is done may take nothing of what is left to send."""
    connections: int = 10_000
    connections_per_address: int = 1024


class Connection(Protocol):
    """What the guard knows of a connection."""

    @property
    def since(self) -> float:
        """When its present phase began, in monotonic seconds."""
        ...

    @property
    def counted_address(self) -> str | None:
        """The peer's address where connections are counted by it: not of a proxy, not of a unix socket."""
        ...

    def tick(self, now: float, *, is_pressed: bool) -> None:
        """Time has passed."""
        ...

    def drop(self) -> None:
        """Close at once."""
        ...


class Guard:
    """The connections of one listener."""

    def __init__(
        self,
        limits: HttpLimits,
        hosts: Hosts,
        proxies: Proxies,
        *,
        clock: Callable[[], float],
        rng: random.Random | None = None,
    ) -> None:
        self.limits = limits
        self.hosts = hosts
        self.proxies = proxies
        self.clock = clock
        self.is_pressed = False
        """The process has little memory left: connections are not kept idle."""
        self.rng = rng or random.Random()  # noqa: S311 - for the ids of requests that are refused
        self._open: dict[
            Connection, None
        ] = {}  # in the order of coming: a set's is that of addresses in memory
        self._unserved: dict[str | None, dict[Connection, None]] = {}
        self._counts: dict[str, int] = {}

    def __repr__(self) -> str:
        return f"<Guard {len(self._open)}/{self.limits.connections} connections>"

    def __len__(self) -> int:
        return len(self._open)

    def enter(self, connection: Connection) -> None:
        """Count a new connection. One too many takes the place of the longest that never sent a whole request.

        Raises `TooManyConnections` when every other one has.
        """
        address = connection.counted_address
        self._open[connection] = None
        self._unserved.setdefault(address, {})[connection] = None
        if address is not None:
            self._counts[address] = self._counts.get(address, 0) + 1
            if self._counts[address] > self.limits.connections_per_address:
                self._make_room(connection, [address])
                return
        if len(self._open) > self.limits.connections:
            self._make_room(connection, list(self._unserved))

    def served(self, connection: Connection) -> None:
        """A connection sent a whole request: it is no longer among the first to go."""
        address = connection.counted_address
        waiting = self._unserved.get(address)
        if waiting is not None:
            waiting.pop(connection, None)
            if not waiting:
                del self._unserved[address]

    def leave(self, connection: Connection) -> None:
        """A connection is over."""
        if connection not in self._open:
            return
        del self._open[connection]
        self.served(connection)
        address = connection.counted_address
        if address is not None:
            self._counts[address] -= 1
            if not self._counts[address]:
                del self._counts[address]

    def sweep(self) -> None:
        """Close what has waited too long."""
        now = self.clock()
        is_pressed = self.is_pressed or len(self._open) > self.limits.connections * PRESSED_SHARE
        for connection in list(self._open):
            connection.tick(now, is_pressed=is_pressed)

    def _make_room(self, newest: Connection, addresses: list[str | None]) -> None:
        """End the oldest connection from `addresses` that has sent no whole request."""
        oldest = [next(iter(self._unserved[address])) for address in addresses if address in self._unserved]
        victim = min(oldest, key=lambda connection: connection.since, default=newest)
        if victim is newest:
            raise TooManyConnections("Too many connections. Try again later.", retry_after=1)
        self.leave(victim)
        victim.drop()
