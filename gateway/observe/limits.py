"""Prometheus metrics of limits: who was refused by which of them, and how much of what calls reserved they used.

Labels are levels and kinds, never a key, a user or a team: their number has no bound.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from prometheus_client.metrics_core import CounterMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

    from gateway.ratelimit.tally import Tally

_TYPES = ("prompt", "completion")


class LimitMetrics(Collector):
    """What a limiter counted, at the scrape."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally

    def collect(self) -> Iterable[Metric]:
        """Read it now; copies, since a scrape may run in another thread than the calls."""
        refusals = CounterMetricFamily(
            "cascadia_limit_refusals",
            "Calls refused by a limit: no_room now, or too_large to ever fit.",
            labels=["level", "limit", "reason"],
        )
        for labels, count in tuple(self._tally.refusals.items()):
            refusals.add_metric(labels, count)
        shadowed = CounterMetricFamily(
            "cascadia_limit_shadow_refusals",
            "Calls that a limit in shadow would have refused.",
            labels=["level", "limit"],
        )
        for pair, count in tuple(self._tally.shadowed.items()):
            shadowed.add_metric(pair, count)
        yield refusals
        yield shadowed
        yield self._tokens(
            "cascadia_limit_reserved_tokens",
            "Most tokens that calls under limits could have used, as it was taken before they were sent.",
            (self._tally.reserved_input, self._tally.reserved_output),
        )
        yield self._tokens(
            "cascadia_limit_settled_tokens",
            "Tokens that the same calls were counted in the end.",
            (self._tally.settled_input, self._tally.settled_output),
        )

    def _tokens(self, name: str, meaning: str, numbers: Iterable[int]) -> Metric:
        family = CounterMetricFamily(name, meaning, labels=["type"])
        for kind, number in zip(_TYPES, numbers, strict=True):
            family.add_metric([kind], number)
        return family
