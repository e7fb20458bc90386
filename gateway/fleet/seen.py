"""What an engine last said of itself, and how old that is.

Our own count of calls is exact and at once; this is neither. It is for what we cannot count: the calls of others, room
in the KV cache, and whether the engine does anything at all.
"""

from __future__ import annotations

import math

from gateway.fleet.load import Load

FADES_SECONDS = 10.0
"""After so long what was seen counts for nothing; until then less and less."""


class Seen:
    """One engine's last page. Times are monotonic seconds."""

    __slots__ = ("at", "load", "ours", "standing")

    def __init__(self) -> None:
        self.load: Load | None = None
        self.at = -math.inf
        """When the page came."""
        self.ours = 0
        """Calls of ours that the engine held then."""
        self.standing = 0
        """Pages in a row that told of no step since the one before."""

    def __repr__(self) -> str:
        return f"<Seen {self.load} at {self.at:.1f}>"

    def take(self, load: Load, now: float, ours: int) -> bool:
        """Note a page. Whether the engine was started anew since the last one: its counters went back."""
        before, self.load = self.load, load
        self.at = now
        self.ours = ours
        is_still = before is not None and load.steps is not None and load.steps == before.steps
        self.standing = self.standing + 1 if is_still else 0
        return before is not None and (
            _went_back(before.steps, load.steps) or _went_back_in_tokens(before, load)
        )

    def age(self, now: float) -> float:
        """Seconds since the page came, infinite when none did."""
        return now - self.at

    def freshness(self, now: float) -> float:
        """How much it still counts: 1 at once, 0 after `FADES_SECONDS`."""
        return max(0.0, 1.0 - (now - self.at) / FADES_SECONDS)

    def foreign(self) -> float:
        """Sequences that the engine held and that were not ours; 0 when it did not say."""
        load = self.load
        return 0.0 if load is None else max(0.0, load.running + load.waiting - self.ours)


def _went_back(before: float | None, after: float | None) -> bool:
    return before is not None and after is not None and after < before


def _went_back_in_tokens(before: Load, after: Load) -> bool:
    return _went_back(before.prompt_tokens, after.prompt_tokens)
