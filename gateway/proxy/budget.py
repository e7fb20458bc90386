"""A bound on how much is sent again: a share of the calls, so that retries cannot become most of the load.

A count per call does not bound it: when all engines are slow every call is sent twice, and the load that made them slow
is doubled (tower's retry budget, and its argument).
"""

from __future__ import annotations

from collections.abc import Callable

SHARE = 0.1
PER_SECOND = 3.0
BURST = 100.0
"""When an engine dies, all calls that it held may move at once."""


class RetryBudget:
    """Each call adds `SHARE` of a retry, each second `PER_SECOND`; at most `BURST` are kept. `clock` in seconds."""

    __slots__ = ("_clock", "_kept", "_looked_at", "calls")

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._kept = BURST
        self._looked_at = clock()
        self.calls = 0
        """Calls since the last look; whoever accepts one adds it."""

    def has(self) -> bool:
        """Whether one more call may be sent again."""
        now = self._clock()
        earned = SHARE * self.calls + PER_SECOND * (now - self._looked_at)
        self._kept = min(BURST, self._kept + earned)
        self._looked_at, self.calls = now, 0
        return self._kept >= 1

    def spend(self) -> None:
        """One was."""
        self._kept -= 1
