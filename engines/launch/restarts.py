"""When a worker that failed is started again, and when it is given up."""

from __future__ import annotations

from collections import deque
from random import Random

FIRST_DELAY_S = 1.0
LONGEST_DELAY_S = 60.0
MOST_FAILURES = 5
WINDOW_S = 600.0


class Restarts:
    """Counts failures in a sliding window and says how long to wait after each.

    Delays double from 1 s to 60 s while failures keep coming, and begin anew after a window without one. Each is
    jittered by up to a quarter either way, so that workers which fail together do not load their weights together again.
    """

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._failures: deque[float] = deque()
        self._streak = 0
        self.total = 0
        """Failures since this supervisor began."""

    def after_failure(self, now: float) -> float | None:
        """Note a failure at `now` (monotonic seconds); the seconds until the next start, `None` to give up."""
        while self._failures and self._failures[0] <= now - WINDOW_S:
            self._failures.popleft()
        self._streak = self._streak + 1 if self._failures else 1
        self._failures.append(now)
        self.total += 1
        if len(self._failures) >= MOST_FAILURES:
            return None
        delay = min(LONGEST_DELAY_S, FIRST_DELAY_S * 2.0 ** (self._streak - 1))
        return min(LONGEST_DELAY_S, delay * self._rng.uniform(0.75, 1.25))
