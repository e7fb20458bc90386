"""Slots of a model that are kept free for whoever asks for little.

An engine whose slots are all held by the long answers of one tenant lets another wait for the end of one of them,
however fair the queue is. A few slots that no such tenant gets end that wait. How many is learnt: one more whenever
somebody came for whom they were meant and found none free, a little less with each who found one, so that about one in
thirty has to wait; none when nobody came for a while. A tenant that is alone with its engines has all of them.
"""

from __future__ import annotations

from math import ceil

MISSED = 0.03
"""Part of those it is for that may find none free: what is kept falls by so much of a slot with each that does not."""
FORGOTTEN_AFTER = 60.0
"""Seconds in which nobody came for whom it is."""
FEWEST_SLOTS = 8
"""With less nothing is kept: one slot would be too large a part."""


class Reserve:
    """How many slots of a model to keep free. `share` is the most, of all its slots; 0: none.

    Times are monotonic seconds.
    """

    __slots__ = ("_asked_at", "_kept", "_share")

    def __init__(self, share: float) -> None:
        self._share = share
        self._kept = 0.0
        self._asked_at = 0.0

    def __repr__(self) -> str:
        return f"<Reserve {self._kept:.2f}>"

    @property
    def is_empty(self) -> bool:
        """Whether nothing is kept."""
        return not self._kept

    def kept(self, slots: int, now: float) -> int:
        """How many of `slots` to keep free."""
        if not self._kept:
            return 0
        if now - self._asked_at > FORGOTTEN_AFTER:
            self._kept = 0.0
        return min(ceil(self._kept), self.most(slots))

    def most(self, slots: int) -> int:
        """How many of `slots` may be kept free."""
        return max(1, int(self._share * slots)) if self._share and slots >= FEWEST_SLOTS else 0

    def asked(self, slots: int, now: float, *, was_free: bool) -> None:
        """Somebody came for whom it is, while there was not enough for all."""
        self._asked_at = now
        if was_free:
            self._kept = max(0.0, self._kept - MISSED)
        else:
            self._kept = min(float(self.most(slots)), self._kept + 1.0)
