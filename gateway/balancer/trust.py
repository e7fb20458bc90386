"""Whether guesses at the engines' prefix caches come true, and whether to go by them.

An engine says of each call how many tokens of its prompt it had in its cache. Where guesses fail - caching is off, the
cache is too small, prompts are not what they seem - going by them only unbalances the load, so they are made but not
gone by until they come true again. The two thresholds are apart, or it would switch to and fro.
"""

from __future__ import annotations

from gateway.core.outcome import Usage
from gateway.fleet.replica import Replica

OFF_BELOW = 0.2
"""Share of what was expected that came true."""
ON_ABOVE = 0.4
ENOUGH = 32
"""Calls with something expected before a judgement, and the memory of it."""


class Trust:
    """For one model. The sums are for metrics, in tokens."""

    __slots__ = ("_count", "_reports", "_share", "error", "expected", "found", "is_given")

    def __init__(self) -> None:
        self.is_given = True
        self.expected = self.found = self.error = 0
        self._share = 1.0
        self._count = 0
        self._reports = False

    def __repr__(self) -> str:
        return f"<Trust {'given' if self.is_given else 'withheld'}, {self._share:.0%} come true>"

    def take(self, replica: Replica, expected: int, usage: Usage) -> None:
        """A call is over for which `expected` tokens were guessed to be in the cache of `replica`."""
        found = usage.cached_tokens
        self._reports = self._reports or found > 0
        if not self._reports and not _has_no_hits(replica):
            return  # it may be that this engine does not say
        self.expected += expected
        self.found += found
        self.error += abs(expected - found)
        if not expected:
            return
        self._count += 1
        share = min(1.0, found / expected)
        self._share += (share - self._share) / min(self._count, ENOUGH)
        if self._count < ENOUGH:
            return
        if self.is_given and self._share < OFF_BELOW:
            self.is_given = False
        elif not self.is_given and self._share > ON_ABOVE:
            self.is_given = True


def _has_no_hits(replica: Replica) -> bool:
    """Whether the engine's own count shows that nothing was ever found in its cache."""
    load = replica.load
    return load is not None and load.prefix_hits == 0
