"""Who listens where, and the connections between those who ask and those who listen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from simulation.world.flow import Flow
from simulation.world.socket import Socket
from simulation.world.wire import Cut, Wire

if TYPE_CHECKING:
    from simulation.world.chance import Chance
    from simulation.world.loop import VirtualLoop
    from simulation.world.trace import Trace

Accept = Callable[[Socket], asyncio.BaseProtocol]
"""Gives the protocol of a connection that came in."""


class Conditions(Protocol):
    """What the connections of a simulation are like."""

    def __call__(self, address: str, source: str, number: int) -> tuple[Wire, Cut | None]:
        """The conditions of the connection from `source` to `address`, the `number`th there, from 0."""
        ...


class Network:
    """All addresses and connections. Addresses are `HOST:PORT` or `unix:/path`."""

    def __init__(self, loop: VirtualLoop, trace: Trace, chance: Chance, conditions: Conditions) -> None:
        self._loop = loop
        self._trace = trace
        self._chance = chance
        self._conditions = conditions
        self._listeners: dict[str, Accept] = {}
        self._holes: set[str] = set()
        self._made: dict[str, int] = {}
        self.open: dict[Socket, None] = {}
        """Every socket that is not closed, openers' and acceptors'."""

    def listen(self, address: str, accept: Accept) -> None:
        """Take connections to `address`."""
        self._listeners[address] = accept

    def refuse(self, address: str) -> None:
        """Refuse what comes to `address` from now on."""
        self._listeners.pop(address, None)

    def swallow(self, address: str) -> None:
        """Nothing sent to `address` arrives any more, nobody is told; connections that are open are held for ever."""
        self._holes.add(address)
        for socket in self.open:
            if address in {socket.address, socket.peer_address}:
                socket.outward.hold()

    def restore(self, address: str) -> None:
        """Let new connections to `address` through again."""
        self._holes.discard(address)

    async def connect(
        self,
        factory: Callable[[], asyncio.BaseProtocol],
        address: str,
        *,
        source: str = "127.0.0.1:1",
        name: str | None = None,
    ) -> tuple[Socket, Any]:
        """Connect to `address`, as `loop.create_connection` does. Raises `ConnectionRefusedError`."""
        number = self._made[address] = self._made.get(address, -1) + 1
        wire, cut = self._conditions(address, source, number)
        name = name or f"{address}#{number}"
        opened = self._trace(name, "is asked for")
        await asyncio.sleep(wire.latency)
        if address in self._holes:
            await self._loop.create_future()
        accept = self._listeners.get(address)
        if accept is None:
            await asyncio.sleep(wire.latency)
            self._trace(name, "is refused")
            raise ConnectionRefusedError
        near, far = self._link(name, address, source, wire, cut)
        near.opened = opened
        try:
            far.attach(accept(far))
            far.start()
            await asyncio.sleep(wire.latency)
            protocol = factory()
            made = self._loop.create_future()
            self._loop.call_soon(near.attach, protocol)
            self._loop.call_soon(near.start)
            self._loop.call_soon(_tell, made)
            await made
        except BaseException:
            near.close()
            raise
        return near, protocol

    def _link(
        self, name: str, address: str, source: str, wire: Wire, cut: Cut | None
    ) -> tuple[Socket, Socket]:
        near = Socket(self._loop, self._trace, f"{name}.near", address=source, peer_address=address)
        far = Socket(self._loop, self._trace, f"{name}.far", address=address, peer_address=source)
        rng = self._chance.of(f"wire {name}")
        to_near, to_far = (cut, None) if cut is None or cut.to_opener else (None, cut)
        near.outward = far.inward = Flow(self._loop, wire, rng, near, far, to_far)
        far.outward = near.inward = Flow(self._loop, wire, rng, far, near, to_near)
        near.peer, far.peer = far, near
        for socket in (near, far):
            self.open[socket] = None
            socket.on_closed = self._forget
        return near, far

    def _forget(self, socket: Socket) -> None:
        self.open.pop(socket, None)


def _tell(waiter: asyncio.Future[None]) -> None:
    if not waiter.cancelled():
        waiter.set_result(None)
