"""What the figures of the systems come to beside each other, round by round: a round's systems share the machine's mood."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from benchmarks.stats import medians

Figures = Mapping[str, float]
Round = Mapping[str, Figures]
"""System → figure → value, all of one round."""

ADDED: Mapping[str, str] = {
    f"{scenario}.added_{name}": f"{scenario}.{name}"
    for scenario, names in {
        "latency": ("p50_ms", "p95_ms", "p99_ms"),
        "streams_100": ("ttft_p50_ms", "ttft_p95_ms"),
        "streams_500": ("ttft_p50_ms", "ttft_p95_ms"),
    }.items()
    for name in names
}
"""What a system adds to a figure of the baseline → that figure."""
LEAST_ADDED_MILLISECONDS = 0.05
"""A ratio to less than this says nothing: it is within what the baseline itself moves between two trials."""
FAILURES = ("lost", "unfinished")


def complete(measured: Round, baseline: str) -> dict[str, dict[str, float]]:
    """One round with what follows from it: what each system adds to `baseline`, and how often it failed."""
    base = measured.get(baseline, {})
    return {
        name: {
            **figures,
            **({} if name == baseline else _added(figures, base)),
            **_failures(figures),
        }
        for name, figures in measured.items()
    }


def summary(rounds: Sequence[Round]) -> dict[str, dict[str, float]]:
    """System → its median figures; failures are summed up, for what was lost in one round was lost."""
    return {
        name: medians(each[name] for each in rounds)
        | {
            figure: sum(each[name].get(figure, 0.0) for each in rounds)
            for figure in {figure for each in rounds for figure in each[name]}
            if _is_count(figure)
        }
        for name in rounds[0]
    }


def ratios(rounds: Sequence[Round], reference: str) -> dict[str, dict[str, float]]:
    """System → figure → the median over the rounds of its ratio to `reference` in the same round.

    Only what at least half of the rounds have a ratio of. Empty for every system when `reference` was not measured.
    """
    return {name: _ratios(rounds, name, reference) for name in rounds[0] if name != reference}


def _ratios(rounds: Sequence[Round], name: str, reference: str) -> dict[str, float]:
    gathered: dict[str, list[float]] = {}
    for each in rounds:
        against = each.get(reference, {})
        for figure, value in each[name].items():
            base = against.get(figure, 0.0)
            if not _is_count(figure) and base > (LEAST_ADDED_MILLISECONDS if figure in ADDED else 0.0):
                gathered.setdefault(figure, []).append(value / base)
    return {
        figure: statistics.median(values)
        for figure, values in gathered.items()
        if len(values) * 2 >= len(rounds)
    }


def _added(figures: Figures, base: Figures) -> dict[str, float]:
    return {
        added: figures[figure] - base[figure]
        for added, figure in ADDED.items()
        if figure in figures and figure in base
    }


def _failures(figures: Figures) -> dict[str, float]:
    """`SCENARIO.failures` for each scenario, and `failures` for all of them."""
    found: dict[str, float] = {"failures": 0.0}
    for figure, value in figures.items():
        scenario, _, what = figure.partition(".")
        if what in FAILURES:
            found[f"{scenario}.failures"] = found.get(f"{scenario}.failures", 0.0) + value
            found["failures"] += value
    return found


def _is_count(figure: str) -> bool:
    return figure.rpartition(".")[2] in {*FAILURES, "failures"}
