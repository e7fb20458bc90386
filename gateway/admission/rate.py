"""How quickly a queue moves, and so how long a place in it takes.

What is measured is the work of those who were granted a slot, over the time in which somebody waited for one. It is the
estimate that is counted, as it is the estimate of those who wait that is divided by it: what is guessed wrongly for
both cancels. The average is over grants and not over time, so time may pass in leaps and stand still.
"""

from __future__ import annotations

KNOWN_AFTER = 16
"""Grants before the rate is taken for known: refusing somebody who could have been served is worse than waiting."""
SMOOTHED_OVER = 64
FORGOTTEN_AFTER = 60.0
"""Seconds without a grant to one who waited."""


class Rate:
    """Work granted per second of waiting. Times are monotonic seconds."""

    __slots__ = ("_grants", "_last", "_seconds", "_since", "_work")

    def __init__(self) -> None:
        self._grants = 0
        self._work = self._seconds = 0.0
        self._since = self._last = 0.0

    def began(self, now: float) -> None:
        """Somebody waits, where nobody did."""
        self._since = now

    def granted(self, cost: float, now: float) -> None:
        """One who waited has a slot."""
        if now - self._last > FORGOTTEN_AFTER:
            self._grants = 0
            self._work = self._seconds = 0.0
        kept = 1 - 1 / SMOOTHED_OVER
        self._work = self._work * kept + cost
        self._seconds = self._seconds * kept + now - self._since
        self._grants += 1
        self._since = self._last = now

    def seconds_for(self, work: float, now: float) -> float | None:
        """How long `work` takes to be granted; `None` when not enough is known."""
        if self._grants < KNOWN_AFTER or now - self._last > FORGOTTEN_AFTER or not self._work:
            return None
        return work * self._seconds / self._work
