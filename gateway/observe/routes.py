"""Counts of where the calls of names with a route went, as plain numbers: see `tally`."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.metrics_core import CounterMetricFamily, Metric

from gateway.core.outcome import End
from gateway.observe.tally import NO_MODEL


class Routed:
    """By the name asked for, which is one of the configuration's, and the model."""

    def __init__(self) -> None:
        self._ends: dict[tuple[str, str, str], int] = {}
        self._left: dict[tuple[str, str, str], int] = {}

    def on_end(self, end: End) -> None:
        """Count a call that is over; those of names without a route are none of this."""
        asked = end.asked
        if asked is None:
            return
        key = asked, end.model or NO_MODEL, end.outcome.value
        self._ends[key] = self._ends.get(key, 0) + 1
        if end.trail is not None:
            for model, code in end.trail.left:
                left = asked, model, code
                self._left[left] = self._left.get(left, 0) + 1

    def collect(self) -> Iterator[Metric]:
        """The numbers as they are now."""
        ends = CounterMetricFamily(
            "cascadia_routed_requests",
            "Calls of names with a split or fallbacks, by the model that had them at their end.",
            labels=["asked", "model", "outcome"],
        )
        for labels, count in tuple(self._ends.items()):
            ends.add_metric(labels, count)
        yield ends
        left = CounterMetricFamily(
            "cascadia_fallbacks",
            "Times that a model of a route did not serve a call and another was asked.",
            labels=["asked", "model", "reason"],
        )
        for labels, count in tuple(self._left.items()):
            left.add_metric(labels, count)
        yield left
