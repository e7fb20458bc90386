"""One timer for all streams: things that are due in the same millisecond share one wake-up of the event loop."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

T = TypeVar("T")

TICKS_PER_SECOND = 1000


class Timers(Protocol):
    """The part of an event loop that a ticker needs; times are those of `time`."""

    def time(self) -> float:
        """Give the time."""

    def call_at(self, when: float, callback: Callable[[], None]) -> Any:
        """Call later; what it gives has `cancel()`."""

    def call_soon(self, callback: Callable[[], None]) -> Any:
        """Call in the next turn of the loop."""


class Ticker(Generic[T]):
    """Hands items to `run` when they are due, many at a time."""

    def __init__(self, timers: Timers, run: Callable[[list[T], float], None]) -> None:
        self._timers = timers
        self._run = run
        self._buckets: dict[int, list[T]] = {}
        self._ticks: list[int] = []
        self._timer: Any = None
        self._armed_for = 0
        self._next_turn: list[T] = []

    def soon(self, item: T) -> None:
        """Have `item` run in the next turn of the loop, together with all others that ask for that."""
        self._next_turn.append(item)
        if len(self._next_turn) == 1:
            self._timers.call_soon(self._turn)

    def add(self, due: float, item: T) -> None:
        """Have `item` run at `due` or up to one tick later, never in this call."""
        tick = int(due * TICKS_PER_SECOND) + 1
        bucket = self._buckets.get(tick)
        if bucket is not None:
            bucket.append(item)
            return
        self._buckets[tick] = [item]
        heapq.heappush(self._ticks, tick)
        self._arm()

    def _turn(self) -> None:
        due, self._next_turn = self._next_turn, []
        self._run(due, self._timers.time())

    def _arm(self) -> None:
        first = self._ticks[0]
        if self._timer is not None:
            if self._armed_for <= first:
                return
            self._timer.cancel()
        self._armed_for = first
        self._timer = self._timers.call_at(first / TICKS_PER_SECOND, self._fire)

    def _fire(self) -> None:
        self._timer = None
        now = self._timers.time()
        # A loop may call a little before the time it was asked for: what this call was armed for is due in any case.
        last = max(int(now * TICKS_PER_SECOND), self._armed_for)
        due: list[T] = []
        while self._ticks and self._ticks[0] <= last:
            due += self._buckets.pop(heapq.heappop(self._ticks))
        if due:
            self._run(due, now)
        if self._ticks:
            self._arm()
