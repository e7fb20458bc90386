"""Refused credentials as a metric."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from prometheus_client.metrics_core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector


class Refused(Collector):
    """Reads at each scrape how many credentials were refused for each reason."""

    def __init__(self, counts: Callable[[], Mapping[str, int]]) -> None:
        self._counts = counts

    def collect(self) -> Iterable[Metric]:
        """Read the counts now."""
        refused = CounterMetricFamily(
            "cascadia_credentials_refused",
            "Requests whose credential was refused, by reason; callers are told the same for all.",
            labels=["reason"],
        )
        for reason, count in self._counts().items():
            refused.add_metric([reason], count)
        yield refused
