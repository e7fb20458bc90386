"""Percentiles of values that come many at a time."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

DIGITS = 6
"""Of a second: microseconds."""


class Weighted:
    """Counts how often each value came, to the microsecond."""

    __slots__ = ("_counts",)

    def __init__(self, counts: Counter[float] | None = None) -> None:
        self._counts: Counter[float] = Counter() if counts is None else counts

    def add(self, value: float, weight: int) -> None:
        """`value` came so often."""
        self._counts[round(value, DIGITS)] += weight

    def counts(self) -> Counter[float]:
        """How often each value came."""
        return Counter(self._counts)

    def merge(self, others: Iterable[Weighted]) -> Weighted:
        """Take in all others' values."""
        for other in others:
            self._counts.update(other.counts())
        return self

    def without(self, earlier: Weighted) -> Weighted:
        """What came since `earlier` was copied."""
        return Weighted(self._counts - earlier.counts())

    def copy(self) -> Weighted:
        """As it is now."""
        return Weighted(self.counts())

    def percentile(self, share: float) -> float | None:
        """The least value that `share` of all do not exceed; `None` when there is none."""
        left = share * self._counts.total()
        for value in sorted(self._counts):
            left -= self._counts[value]
            if left <= 0:
                return value
        return None


def percentile(values: Iterable[float], share: float) -> float | None:
    """The same of single values; `share` is at most 1."""
    ordered = sorted(values)
    if not ordered:
        return None
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
