"""Counts of what happens in the queues, as plain numbers: see `tally`."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric

from gateway.admission import Watch
from gateway.core.call import Tier
from gateway.observe.tally import Distribution


class Queues:
    """By model and tier. A model that a queue was made for is in the catalog, or was."""

    def __init__(self) -> None:
        self._waits: dict[tuple[str, Tier], Distribution] = {}
        self._misses: dict[tuple[str, Tier], Distribution] = {}
        self._evictions: dict[tuple[str, Tier, str], int] = {}
        self._rejections: dict[tuple[str, Tier, str], int] = {}

    def granted(self, model: str, tier: Tier, waited: float, predicted: float | None) -> None:
        """See `Watch.granted`."""
        key = model, tier
        waits = self._waits.get(key)
        if waits is None:
            waits = self._waits[key] = Distribution()
        waits.observe(waited)
        if predicted is not None:
            misses = self._misses.get(key)
            if misses is None:
                misses = self._misses[key] = Distribution()
            misses.observe(abs(waited - predicted))

    def evicted(self, model: str, tier: Tier, reason: str) -> None:
        """See `Watch.evicted`."""
        key = model, tier, reason
        self._evictions[key] = self._evictions.get(key, 0) + 1

    def rejected(self, model: str, tier: Tier, reason: str) -> None:
        """See `Watch.rejected`."""
        key = model, tier, reason
        self._rejections[key] = self._rejections.get(key, 0) + 1

    def collect(self) -> Iterator[Metric]:
        """The numbers as they are now."""
        yield _histogram(
            "cascadia_queue_wait_seconds", "How long calls waited that had to and got a replica.", self._waits
        )
        yield _histogram(
            "cascadia_queue_prediction_error_seconds",
            "How far from the truth the predicted waits were of those calls for which there was a prediction.",
            self._misses,
        )
        yield _counter(
            "cascadia_queue_evictions", "Calls that waited and were put out unserved.", self._evictions
        )
        yield _counter("cascadia_queue_rejections", "Calls that were not let into a queue.", self._rejections)


def _histogram(name: str, meaning: str, series: dict[tuple[str, Tier], Distribution]) -> Metric:
    family = HistogramMetricFamily(name, meaning, labels=["model", "tier"])
    for (model, tier), distribution in tuple(series.items()):
        distribution.add_to(family, [model, tier.name.lower()])
    return family


def _counter(name: str, meaning: str, series: dict[tuple[str, Tier, str], int]) -> Metric:
    family = CounterMetricFamily(name, meaning, labels=["model", "tier", "reason"])
    for (model, tier, reason), count in tuple(series.items()):
        family.add_metric([model, tier.name.lower(), reason], count)
    return family


_: type[Watch] = Queues
