"""Prometheus metrics of the data plane.

Counters and histograms move only when a call ends; gauges are functions of state, read at the scrape. Labels come from
closed sets: a model name is one only if the catalog knows it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Info
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from gateway.core.outcome import OnEnd
from gateway.fleet.pool import serving
from gateway.observe.fleet import fleet_gauges
from gateway.observe.queues import Queues
from gateway.observe.routes import Routed
from gateway.observe.routing import routing_figures
from gateway.observe.tally import Tally

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

    from gateway.admission import Admission
    from gateway.fleet.catalog import Catalog


@dataclass(frozen=True, slots=True)
class Gauge:
    """One number without labels, read when it is asked for."""

    name: str
    meaning: str
    read: Callable[[], float]


class Metrics:
    """The data plane's own metrics, in `registry`."""

    def __init__(self, registry: CollectorRegistry, version: str) -> None:
        self.registry = registry
        Info("cascadia_build", "Version of this gateway.", registry=registry).info({"version": version})
        self._tally = Tally()
        self.on_end: OnEnd = self._tally.on_end
        """Counts a call that is over."""
        self.queues = Queues()
        """Counts what happens in the queues."""
        self.routed = Routed()
        """Counts where calls went that have a route: to be told of ends where there is any."""
        registry.register(_Counted(self._tally))
        registry.register(_Counted(self.routed))
        registry.register(_Counted(self.queues))

    def watch(
        self, catalog: Catalog, admission: Admission, gauges: Sequence[Gauge], *, clock: Callable[[], float]
    ) -> None:
        """Read the gauges from these at each scrape."""
        self.registry.register(_State(catalog, admission, gauges, clock))


class _Counted(Collector):
    """What was counted, at the scrape."""

    def __init__(self, tally: Tally | Queues | Routed) -> None:
        self._tally = tally

    def collect(self) -> Iterable[Metric]:
        """Read it now."""
        return self._tally.collect()


class _State(Collector):
    """Gauges as functions of the data plane's state."""

    def __init__(
        self,
        catalog: Catalog,
        admission: Admission,
        gauges: Sequence[Gauge],
        clock: Callable[[], float],
    ) -> None:
        self._gauges = gauges
        self._clock = clock
        self._catalog = catalog
        self._admission = admission

    def collect(self) -> Iterable[Metric]:
        """Read the state now."""
        for gauge in self._gauges:
            yield GaugeMetricFamily(gauge.name, gauge.meaning, value=gauge.read())
        yield from self._models()
        yield from routing_figures(
            [(p.model, self._admission.policy(p.model)) for p in self._catalog.pools()]
        )
        yield from self._replicas()

    def _models(self) -> Iterator[Metric]:
        waiting = GaugeMetricFamily(
            "cascadia_queue_waiting", "Calls that wait for a replica.", labels=["model", "tier"]
        )
        ready = GaugeMetricFamily(
            "cascadia_replicas_ready", "Replicas that serve a model now.", labels=["model"]
        )
        for pool in self._catalog.pools():
            for tier, count in self._admission.waiting_by_tier(pool.model).items():
                waiting.add_metric([pool.model, tier.name.lower()], count)
            ready.add_metric([pool.model], serving(pool.members))
        yield waiting
        yield ready

    def _replicas(self) -> Iterator[Metric]:
        in_flight = GaugeMetricFamily(
            "cascadia_replica_requests_in_flight", "Calls that a replica holds.", labels=["replica"]
        )
        up = GaugeMetricFamily(
            "cascadia_replica_up",
            "1 when a replica is ready and not ejected for failing.",
            labels=["replica"],
        )
        now = self._clock()
        for replica in self._catalog.replicas():
            in_flight.add_metric([replica.endpoint.id], replica.in_flight)
            up.add_metric([replica.endpoint.id], replica.is_serving() and not replica.is_ejected(now))
        yield in_flight
        yield up
        yield from fleet_gauges(tuple(self._catalog.replicas()), tuple(self._catalog.pools()), now)
