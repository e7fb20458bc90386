"""Metrics of several processes as one: what counts is added up, what stands at something is added up or the worst of it.

A gauge is the greatest of all processes' unless it is named here: a number of things of which each process has some is
their sum, and of what is worst when it is small the least is told. The age of a gauge is at most that of the notes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec
from prometheus_client.metrics_core import Metric

SUMMED = frozenset(
    {
        "cascadia_requests_in_flight",
        "cascadia_held_bytes",
        "cascadia_admin_calls_denied",
        "cascadia_explain_records",
        "cascadia_connections",
        "cascadia_queue_waiting",
        "cascadia_replica_requests_in_flight",
        "cascadia_ledger_open_records",
        "cascadia_ledger_spool_bytes",
    }
)
LEAST = frozenset(
    {
        "cascadia_replicas_ready",
        "cascadia_replica_up",
        "cascadia_replica_share_ratio",
        "cascadia_limit_store_up",
        "cascadia_ledger_accepting",
        "cascadia_routing_prefix_in_use",
    }
)
_CUMULATIVE = frozenset({"counter", "histogram", "summary"})
_CREATED = "_created"

Labels = tuple[tuple[str, str], ...]


class Figure(msgspec.Struct, frozen=True, array_like=True):
    """One sample: its name, its labels and its value."""

    name: str
    labels: Labels
    value: float


class Figures(msgspec.Struct, frozen=True, array_like=True):
    """The samples of one metric."""

    name: str
    kind: str
    meaning: str
    samples: tuple[Figure, ...]

    @property
    def is_cumulative(self) -> bool:
        """Whether it only grows, so that what a process that is gone had counted still counts."""
        return self.kind in _CUMULATIVE


def read(metrics: Iterable[Metric]) -> list[Figures]:
    """What a registry gives, as plain values."""
    return [
        Figures(
            metric.name,
            metric.type,
            metric.documentation,
            tuple(
                Figure(each.name, tuple(each.labels.items()), float(each.value)) for each in metric.samples
            ),
        )
        for metric in metrics
    ]


def cumulative(figures: Iterable[Figures]) -> list[Figures]:
    """Those that still count when their process is gone."""
    return [each for each in figures if each.is_cumulative]


def merged(processes: Sequence[Sequence[Figures]]) -> list[Figures]:
    """All processes' figures as those of one."""
    heads: dict[str, Figures] = {}
    samples: dict[str, dict[tuple[str, Labels], float]] = {}
    for figures in processes:
        for each in figures:
            heads.setdefault(each.name, each)
            known = samples.setdefault(each.name, {})
            for sample in each.samples:
                key = sample.name, sample.labels
                value = known.get(key)
                known[key] = sample.value if value is None else _both(each, sample, value)
    return [
        Figures(
            name,
            head.kind,
            head.meaning,
            tuple(Figure(sample, labels, value) for (sample, labels), value in samples[name].items()),
        )
        for name, head in heads.items()
    ]


def metrics(figures: Iterable[Figures]) -> Iterator[Metric]:
    """The other way round."""
    for each in figures:
        metric = Metric(each.name, each.meaning, each.kind)
        for sample in each.samples:
            metric.add_sample(sample.name, dict(sample.labels), sample.value)
        yield metric


def _both(metric: Figures, sample: Figure, value: float) -> float:
    if sample.name.endswith(_CREATED):
        return min(sample.value, value)
    if metric.is_cumulative or metric.name in SUMMED:
        return sample.value + value
    return min(sample.value, value) if metric.name in LEAST else max(sample.value, value)
