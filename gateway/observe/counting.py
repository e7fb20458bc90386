"""Prometheus metrics of counts that several gateways share: whether the server is used, and how takings were answered."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

    from gateway.ratelimit.shared.counters import State


class SharedMetrics(Collector):
    """How shared counts stand, at the scrape."""

    def __init__(self, state: Callable[[], State]) -> None:
        self._state = state

    def collect(self) -> Iterable[Metric]:
        """Read it now."""
        state = self._state()
        yield GaugeMetricFamily(
            "cascadia_limit_store_up",
            "1 while limits are counted in the server for all gateways together, 0 while each keeps to its share.",
            value=state.is_up,
        )
        yield GaugeMetricFamily(
            "cascadia_limit_gateways", "Gateways that share the counts of limits.", value=state.gateways
        )
        takings = CounterMetricFamily(
            "cascadia_limit_takings",
            "Calls under limits by how they were counted: asked of the server, from stock taken before, or alone.",
            labels=["how"],
        )
        for how, number in (("asked", state.asked), ("stock", state.from_stock), ("alone", state.alone)):
            takings.add_metric([how], number)
        yield takings
