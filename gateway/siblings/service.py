"""The metrics of all processes of a service, whichever of them is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.siblings import figures, notes
from gateway.siblings.notes import STALE
from gateway.siblings.writer import Writer


class Service(Collector):
    """The metrics of all processes of a service as those of one, for the registry of the process that is asked."""

    def __init__(
        self, writer: Writer, registry: CollectorRegistry, seats: int, clock: Callable[[], float]
    ) -> None:
        self._writer = writer
        self._registry = registry
        self._seats = seats
        self._clock = clock

    def collect(self) -> Iterable[Metric]:
        """Read the notes now."""
        told = notes.told(self._writer.folder)
        others = [note for note in told.notes if note.name != self._writer.name]
        own = figures.read(self._registry.collect())
        yield from figures.metrics(notes.figures_of([own, *[note.figures for note in others]], told.former))
        now = self._clock()
        up = 1 + sum(not (note.is_leaving or note.is_joining) and now - note.at <= STALE for note in others)
        yield GaugeMetricFamily(
            "cascadia_gateway_processes", "Gateway processes that this service is to have.", value=self._seats
        )
        yield GaugeMetricFamily(
            "cascadia_gateway_processes_up",
            "Gateway processes that were heard of in the last 5 s and take connections.",
            value=up,
        )
