"""What is known of the engines' load and pace, as gauges, with the age of each thing that was read elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from prometheus_client.core import GaugeMetricFamily

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

    from gateway.fleet.pool import Pool
    from gateway.fleet.replica import Replica

_Read = Callable[["Replica", float], float | None]
_GAUGES: tuple[tuple[str, str, _Read], ...] = (
    (
        "cascadia_replica_load_age_seconds",
        "Since the engine last told its load; what is old counts less in routing, and nothing after 10 s.",
        lambda r, now: None if r.load is None else r.seen.age(now),
    ),
    (
        "cascadia_replica_engine_running",
        "Sequences that the engine computes, by its own word, whoever sent them.",
        lambda r, _: None if r.load is None else r.load.running,
    ),
    (
        "cascadia_replica_engine_waiting",
        "Sequences that wait inside the engine.",
        lambda r, _: None if r.load is None else r.load.waiting,
    ),
    (
        "cascadia_replica_kv_usage_ratio",
        "Share of the engine's KV cache that is held, 0 to 1.",
        lambda r, _: None if r.load is None else r.load.kv_usage,
    ),
    (
        "cascadia_replica_first_token_seconds",
        "From dispatch to the first content of a stream, smoothed.",
        lambda r, _: r.pace.first.known(),
    ),
    (
        "cascadia_replica_token_seconds",
        "From one token of an answer to the next, smoothed.",
        lambda r, _: r.pace.token.known(),
    ),
    (
        "cascadia_replica_stuck",
        "1 when the engine makes no steps although it holds calls: it gets none until it does.",
        lambda r, _: r.is_stuck,
    ),
    (
        "cascadia_replica_asleep",
        "1 when somebody put the engine to sleep.",
        lambda r, _: r.is_asleep,
    ),
    (
        "cascadia_replica_identity_mismatch",
        "1 when another model, or the same with other limits, came back under this name: it gets no calls.",
        lambda r, _: r.is_another,
    ),
    (
        "cascadia_replica_share_ratio",
        "Share of a full load that a replica that came back may take, 0 to 1.",
        lambda r, now: r.share(now),
    ),
)


def fleet_gauges(replicas: Sequence[Replica], pools: Sequence[Pool], now: float) -> Iterator[Metric]:
    """All of them; a replica that has not told something has no sample of it."""
    for name, meaning, read in _GAUGES:
        family = GaugeMetricFamily(name, meaning, labels=["replica"])
        for replica in replicas:
            value = read(replica, now)
            if value is not None:
                family.add_metric([replica.endpoint.id], value)
        yield family
    slow = GaugeMetricFamily(
        "cascadia_replica_slow",
        "1 when a replica takes several times as long as its peers: it gets a twentieth of the calls.",
        labels=["model", "replica"],
    )
    for pool in pools:
        for replica in tuple(pool.members):
            slow.add_metric([pool.model, replica.endpoint.id], pool.is_slow(replica))
    yield slow
