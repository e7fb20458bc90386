"""What is printed: one table, and what to think of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.systems import BASELINE, PRODUCT, REFERENCE
from benchmarks.targets import TARGETS

BUSY_CORES = 0.9
"""A core busier than this is the limit of what was measured."""
DISTURBED_CORES = 0.25
"""More than this used by other processes, and the rates are theirs as well; CPU per request bears it better."""

BySystem = Mapping[str, Mapping[str, float]]
"""System → figure → value."""

_LABEL_WIDTH = 35
_PLAIN_WIDTH = 9  # of the systems that are not set against the reference
_RATIO_WIDTH = 17
_BOUND_WIDTH = 12


@dataclass(frozen=True, slots=True)
class Row:
    """One line. `baseline` is the figure to show for the baseline, where it is another than that of the systems."""

    label: str
    figure: str
    form: str
    baseline: str | None = None


ROWS: tuple[Row, ...] = (
    Row("plain 1 KB, 64 at once: requests/s", "plain_1k.rate", ",.0f"),
    Row("  CPU µs/request", "plain_1k.cpu_us", ".1f", "plain_1k.engine_cpu_us"),
    Row("plain 16 KB, 64 at once: requests/s", "plain_16k.rate", ",.0f"),
    Row("  CPU µs/request", "plain_16k.cpu_us", ".1f", "plain_16k.engine_cpu_us"),
    Row("100 requests/s: p50 ms", "latency.added_p50_ms", "+.2f", "latency.p50_ms"),
    Row("  p95 ms", "latency.added_p95_ms", "+.2f", "latency.p95_ms"),
    Row("  p99 ms", "latency.added_p99_ms", "+.2f", "latency.p99_ms"),
    Row("100 streams, 20 ms: CPU µs/chunk", "streams_100.cpu_us", ".1f", "streams_100.engine_cpu_us"),
    Row("  first token p50 ms", "streams_100.added_ttft_p50_ms", "+.2f", "streams_100.ttft_p50_ms"),
    Row("  first token p95 ms", "streams_100.added_ttft_p95_ms", "+.2f", "streams_100.ttft_p95_ms"),
    Row("500 streams, 20 ms: CPU µs/chunk", "streams_500.cpu_us", ".1f", "streams_500.engine_cpu_us"),
    Row("  first token p50 ms", "streams_500.added_ttft_p50_ms", "+.2f", "streams_500.ttft_p50_ms"),
    Row("  first token p95 ms", "streams_500.added_ttft_p95_ms", "+.2f", "streams_500.ttft_p95_ms"),
    Row("64 streams, unpaced: chunks/s", "burst.rate", ",.0f"),
    Row("  CPU µs/chunk", "burst.cpu_us", ".1f", "burst.engine_cpu_us"),
    Row("memory (PSS), idle: MB", "idle.pss_mb", ".1f"),
    Row("  at 500 streams: MB", "streams_500.pss_mb", ".1f"),
    Row("cold start to the first answer: s", "start.seconds", ".2f"),
    Row("lost or unfinished", "failures", ".0f"),
)
_BOUNDS = {target.figure: target.bound for target in TARGETS}
_BOUNDS["failures"] = _BOUNDS["streams_500.failures"]  # one row for all loads: none may lose any


def lines(
    medians: BySystem, ratios: BySystem, *, title: str, scenarios: Sequence[str], is_shared: bool
) -> Iterator[str]:
    """The table, at most 25 lines."""
    names = list(medians)
    yield title
    yield _line("", [*names, f"{PRODUCT} target"], names)
    for row in ROWS:
        cells = [_cell(row, name, medians, ratios) for name in names]
        if any(cells):
            yield _line(row.label, [*(cell or "-" for cell in cells), _BOUNDS.get(row.figure, "")], names)
    yield (
        f"{BASELINE}: CPU is the engine's own. Others: their own CPU; + is what they add; (times {REFERENCE}'s)."
    )
    yield from _limits(medians, scenarios, is_shared=is_shared)


def _line(label: str, cells: Sequence[str], names: Sequence[str]) -> str:
    widths = [_PLAIN_WIDTH if name in {BASELINE, REFERENCE} else _RATIO_WIDTH for name in names]
    shown = [f"{cell:>{width}}" for cell, width in zip(cells, [*widths, _BOUND_WIDTH], strict=True)]
    return f"{label:<{_LABEL_WIDTH}}{''.join(shown)}".rstrip()


def _cell(row: Row, name: str, medians: BySystem, ratios: BySystem) -> str:
    if name == BASELINE:
        value = medians[name].get(row.baseline or row.figure)
        return "" if value is None else format(value, row.form.removeprefix("+"))
    value = medians[name].get(row.figure)
    if value is None:
        return ""
    shown = format(value, row.form)
    if name == REFERENCE or row.figure == "failures":
        return shown
    ratio = ratios.get(name, {}).get(row.figure)
    return f"{shown} ({'-' if ratio is None else f'{ratio:.2f}x'})"


def _limits(medians: BySystem, scenarios: Sequence[str], *, is_shared: bool) -> Iterator[str]:
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
