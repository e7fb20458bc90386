"""Eight ways in which a wire is worse than it should be, Toxiproxy's: each one direction's, composable.

A toxic is a frozen value. Opened on a link it gives a `Carry`, which gets each piece that comes and forwards what
becomes of it: later, in smaller pieces, or not at all. What a toxic has to remember of a link lives in that closure, so
one value may be on many links.

`Down` is not among them: a proxy that is down accepts nothing, which is the proxy's own doing (`FaultProxy.down`).
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from tests.support.peer import Ending

_QUANTUM_SECONDS = 0.05
"""A slow wire brings something this often, not everything at the end."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Some bytes of one direction, and when they came in. No bytes: the end of that direction."""

    data: bytes
    arrived: float

    @property
    def is_end(self) -> bool:
        return not self.data


class Cut(Exception):
    """Ends the whole connection, both ways, as `ending` says."""

    def __init__(self, ending: Ending) -> None:
        super().__init__(ending)
        self.ending = ending


Forward = Callable[[Piece], Awaitable[None]]
Carry = Callable[[Piece, Forward], Awaitable[None]]


class World(Protocol):
    """What a toxic may ask for: the time, a pause, chance."""

    rng: random.Random

    def now(self) -> float:
        """Seconds."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Let `seconds` pass."""
        ...


class Toxic(Protocol):
    """One row of the table."""

    def open(self, world: World) -> Carry:
        """What carries the pieces of one more link. May raise `Cut` later, from the carrying."""
        ...


@dataclass(frozen=True, slots=True)
class Latency:
    """Every piece `seconds` late, give or take `jitter` seconds. The order is kept."""

    seconds: float
    jitter: float = 0.0

    def open(self, world: World) -> Carry:
        async def carry(piece: Piece, forward: Forward) -> None:
            due = piece.arrived + self.seconds + world.rng.uniform(-self.jitter, self.jitter)
            if due > world.now():
                await world.sleep(due - world.now())
            await forward(piece)

        return carry


@dataclass(frozen=True, slots=True)
class Bandwidth:
    """At most so many bytes a second."""

    bytes_per_second: float

    def open(self, world: World) -> Carry:
        size = max(1, int(self.bytes_per_second * _QUANTUM_SECONDS))

        async def carry(piece: Piece, forward: Forward) -> None:
            for part in _parts(piece, size):
                await world.sleep(len(part.data) / self.bytes_per_second)
                await forward(part)

        return carry


@dataclass(frozen=True, slots=True)
class SlowClose:
    """The end comes `seconds` late."""

    seconds: float

    def open(self, world: World) -> Carry:
        async def carry(piece: Piece, forward: Forward) -> None:
            if piece.is_end:
                await world.sleep(self.seconds)
            await forward(piece)

        return carry


@dataclass(frozen=True, slots=True)
class Timeout:
    """Nothing gets through, and after `seconds` the connection is closed; never if that is 0."""

    seconds: float = 0.0

    def open(self, world: World) -> Carry:
        async def carry(_: Piece, __: Forward) -> None:
            if self.seconds:
                await world.sleep(self.seconds)
                raise Cut(Ending.FIN)

        return carry


@dataclass(frozen=True, slots=True)
class ResetPeer:
    """What comes is dropped, and `seconds` later the connection is reset."""

    seconds: float = 0.0

    def open(self, world: World) -> Carry:
        async def carry(_: Piece, __: Forward) -> None:
            await world.sleep(self.seconds)
            raise Cut(Ending.RST)

        return carry


@dataclass(frozen=True, slots=True)
class Slicer:
    """Small pieces in place of large ones, each `size` bytes give or take `variation`, `pause` seconds apart."""

    size: int
    variation: int = 0
    pause: float = 0.0

    def open(self, world: World) -> Carry:
        async def carry(piece: Piece, forward: Forward) -> None:
            if piece.is_end:
                await forward(piece)
                return
            at = 0
            while at < len(piece.data):
                size = max(1, self.size + world.rng.randint(-self.variation, self.variation))
                await forward(Piece(piece.data[at : at + size], piece.arrived))
                at += size
                await world.sleep(self.pause)

        return carry


@dataclass(frozen=True, slots=True)
class LimitData:
    """The first `size` bytes pass, then the connection ends as `ending` says."""

    size: int
    ending: Ending = Ending.FIN

    def open(self, _: World) -> Carry:
        left = self.size

        async def carry(piece: Piece, forward: Forward) -> None:
            nonlocal left
            passed, left = piece.data[:left], left - len(piece.data)
            if passed or piece.is_end:
                await forward(Piece(passed, piece.arrived))
            if left <= 0:
                raise Cut(self.ending)

        return carry


def _parts(piece: Piece, size: int) -> list[Piece]:
    """The piece in parts of at most `size` bytes; an end is one part."""
    data = piece.data
    return [Piece(data[at : at + size], piece.arrived) for at in range(0, max(1, len(data)), size)]
