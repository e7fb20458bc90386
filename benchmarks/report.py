"""What is printed: one table, and what to think of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

BUSY_CORES = 0.9
"""A core busier than this is the limit of what was measured."""
DISTURBED_CORES = 0.25
"""More than this used by other processes, and the rates are theirs as well; CPU per request bears it better."""

Medians = Mapping[str, Mapping[str, float]]
"""System → figure → median over the rounds."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line. `baseline` is the figure to show for the baseline, where it is another than that of the systems."""

    label: str
    figure: str
    form: str
    baseline: str | None = None
    added: bool = False
    """Show what a system adds to the baseline, not what it comes to."""


ROWS: tuple[Row, ...] = (
    Row("plain 1 KB, 64 at once: requests/s", "plain_1k.rate", ",.0f"),
    Row("  CPU µs/request", "plain_1k.cpu_us", ".1f", "plain_1k.engine_cpu_us"),
    Row("plain 16 KB, 64 at once: requests/s", "plain_16k.rate", ",.0f"),
    Row("  CPU µs/request", "plain_16k.cpu_us", ".1f", "plain_16k.engine_cpu_us"),
    Row("100 requests/s: p50 ms", "latency.p50_ms", ".2f", added=True),
    Row("  p95 ms", "latency.p95_ms", ".2f", added=True),
    Row("  p99 ms", "latency.p99_ms", ".2f", added=True),
    Row("100 streams, 20 ms: CPU µs/chunk", "streams_100.cpu_us", ".1f", "streams_100.engine_cpu_us"),
    Row("  first token p50 ms", "streams_100.ttft_p50_ms", ".2f", added=True),
    Row("500 streams, 20 ms: CPU µs/chunk", "streams_500.cpu_us", ".1f", "streams_500.engine_cpu_us"),
    Row("  first token p50 ms", "streams_500.ttft_p50_ms", ".2f", added=True),
    Row("64 streams, unpaced: chunks/s", "burst.rate", ",.0f"),
    Row("  CPU µs/chunk", "burst.cpu_us", ".1f", "burst.engine_cpu_us"),
    Row("memory (PSS), idle: MB", "idle.pss_mb", ".1f"),
    Row("  at 500 streams: MB", "streams_500.pss_mb", ".1f"),
    Row("cold start to the first answer: s", "start.seconds", ".2f"),
    Row("lost or unfinished", "failures", ".0f"),
)


def lines(medians: Medians, *, title: str, scenarios: Sequence[str], is_shared: bool) -> Iterator[str]:
    """The table, at most 25 lines. The first system is the baseline."""
    names = list(medians)
    baseline = medians[names[0]]
    yield title
    yield f"{'':<38}" + "".join(f"{name:>19}" for name in names)
    for row in ROWS:
        cells = [_baseline(row, baseline), *(_cell(row, medians[name], baseline) for name in names[1:])]
        if any(cells):
            yield f"{row.label:<38}" + "".join(f"{cell or '-':>19}" for cell in cells)
    yield f"{names[0]}: CPU is the engine's own. Other systems: their own CPU (and times the engine's); + is what they add."
    yield from _limits(medians, scenarios, is_shared=is_shared)


def _baseline(row: Row, figures: Mapping[str, float]) -> str:
    value = figures.get(row.baseline or row.figure)
    return "" if value is None else format(value, row.form)


def _cell(row: Row, figures: Mapping[str, float], baseline: Mapping[str, float]) -> str:
    value = figures.get(row.figure)
    if value is None:
        return ""
    base = baseline.get(row.baseline or row.figure)
    if row.added:
        return "" if base is None else format(value - base, "+" + row.form)
    if base and row.figure != "failures":
        return f"{value:{row.form}} ({value / base:.2f}x)"
    return format(value, row.form)


def _limits(medians: Medians, scenarios: Sequence[str], *, is_shared: bool) -> Iterator[str]:
    """At most two lines: where client or engine were the limit, where others disturbed."""
    limited = [
        f"{scenario}/{name}"
        for scenario in scenarios
        for name, figures in medians.items()
        if _load_share(figures, scenario, is_shared=is_shared) > BUSY_CORES
    ]
    if limited:
        yield f"Engine or client at their limit, the rate is theirs (CPU figures hold): {', '.join(limited)}"
    others = max((f.get(f"{s}.other_cores", 0.0) for s in scenarios for f in medians.values()), default=0.0)
    if others > DISTURBED_CORES:
        yield f"Other processes used up to {others:.2f} cores: expect rates and latencies to be worse than they are."


def _load_share(figures: Mapping[str, float], scenario: str, *, is_shared: bool) -> float:
    """How busy the busier of engine and client was."""
    engine, client = (figures.get(f"{scenario}.{who}_cores", 0.0) for who in ("engine", "client"))
    return engine + client if is_shared else max(engine, client)
