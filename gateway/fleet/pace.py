"""How quickly a replica answers, smoothed: to the first content, and from one token to the next."""

from __future__ import annotations

WEIGHT = 0.2
"""Of the newest value. The first few count alike."""
ENOUGH = 5
"""Values before an average says anything."""


class Smoothed:
    """A moving average of seconds."""

    __slots__ = ("count", "value")

    def __init__(self) -> None:
        self.value = 0.0
        self.count = 0

    def take(self, seconds: float) -> None:
        """One more."""
        self.count += 1
        self.value += (seconds - self.value) * max(WEIGHT, 1.0 / self.count)

    def known(self) -> float | None:
        """The average, `None` as long as it is of too few."""
        return self.value if self.count >= ENOUGH else None


class Pace:
    """Of one replica, as measured here."""

    __slots__ = ("first", "slowness", "token")

    def __init__(self) -> None:
        self.first = Smoothed()
        """From dispatch to the first content of a stream."""
        self.token = Smoothed()
        """From one token of an answer to the next."""
        self.slowness = 1.0
        """How many times longer than its peers it takes, at the last sweep; 1 when it is no slower."""
