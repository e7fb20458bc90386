"""Work that the gateway does aside, in virtual time: one piece after the other, each told later than it was asked for."""

from __future__ import annotations

from asyncio import TimerHandle
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from simulation.world.loop import VirtualLoop

SECONDS = 0.004
"""What a piece of work takes."""
_T = TypeVar("_T")


class Later:
    """One thread that is none. Work that is cancelled before its turn is not done."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self._free_at = 0.0

    def run(self, work: Callable[[], _T], done: Callable[[_T], object]) -> TimerHandle:
        """See `gateway.proxy.aside.Aside.run`."""
        begins = max(self._loop.time(), self._free_at)
        self._free_at = begins + SECONDS
        return self._loop.call_at(begins, self._work, work, done)

    def close(self) -> None:
        """See `gateway.proxy.aside.Aside.close`."""

    def _work(self, work: Callable[[], _T], done: Callable[[_T], object]) -> None:
        self._loop.call_later(SECONDS, done, work())
