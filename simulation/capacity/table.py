"""Figures as rows of text: one row a figure, one column a variant, ratios against the first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from simulation.capacity.figures import Figures, Number

Row = list[str]

WHOLE = {
    "goodput": ("good answers/s", ".2f"),
    "throughput": ("answers/s", ".2f"),
    "output_tokens": ("output tokens/s", ".0f"),
    "first_token_p50": ("first token p50, ms", "ms"),
    "first_token_p95": ("first token p95, ms", "ms"),
    "first_token_p99": ("first token p99, ms", "ms"),
    "gap_p50": ("between tokens p50, ms", "ms"),
    "gap_p95": ("between tokens p95, ms", "ms"),
    "gap_p99": ("between tokens p99, ms", "ms"),
    "queue_p50": ("in the queue p50, ms", "ms"),
    "queue_p95": ("in the queue p95, ms", "ms"),
    "queue_p99": ("in the queue p99, ms", "ms"),
    "fairness": ("fairness (Jain)", ".3f"),
    "cache_hits": ("prompt tokens cached", "%"),
    "wasted_work": ("work for answers that were no good", "%"),
    "spread": ("most loaded engine / mean", ".2f"),
    "preemptions": ("preemptions", "d"),
    "sent": ("requests sent", "d"),
    "good": ("of these good", "d"),
    "rejected": ("rejected", "d"),
    "evicted": ("evicted", "d"),
    "hung_up": ("hung up", "d"),
    "failed": ("failed", "d"),
}
"""Figure → what it is called, and how it is written."""
EACH = {
    "sent": "sent",
    "good": "good",
    "rejected": "rejected",
    "evicted": "evicted",
    "goodput": "good/s",
    "first_token_p50": "first p50, ms",
    "first_token_p95": "first p95, ms",
    "queue_p95": "queue p95, ms",
}
"""What is shown of each workload, and over which column."""


def whole_rows(played: Sequence[Figures]) -> Iterator[Row]:
    """A row for each figure of the whole."""
    for name, (title, form) in WHOLE.items():
        values = [each.whole[name] for each in played]
        if any(value is not None for value in values):
            yield [title, *_against_first(values, form)]


def workload_heading() -> Row:
    """Of the table of workloads."""
    return ["workload", "", *EACH.values()]


def workload_rows(played: Sequence[Figures]) -> Iterator[Row]:
    """A row for each workload of each variant."""
    names = list(dict.fromkeys(name for each in played for name in each.workloads))
    for name in names:
        for each in played:
            if name in each.workloads:
                yield [name, each.name, *_cells(each.workloads[name])]


def _cells(values: Mapping[str, Number]) -> Iterator[str]:
    for name in EACH:
        yield _written(values[name], WHOLE[name][1])


def _against_first(values: Sequence[Number], form: str) -> Iterator[str]:
    first = values[0]
    for index, value in enumerate(values):
        text = _written(value, form)
        if index and first and value is not None:
            text += f" (x{value / first:.2f})"
        yield text


def _written(value: Number, form: str) -> str:
    if value is None:
        return "-"
    if form == "ms":
        return f"{value * 1000:.1f}"
    return f"{value * 100:.1f} %" if form == "%" else format(value, form)
