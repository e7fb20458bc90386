"""What the gateway is held to, and whether a run shows it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.systems import PRODUCT, REFERENCE

MOST_MERGED = 1.1
"""More events at once than this, and CPU a chunk is that of a system that is late."""


@dataclass(frozen=True, slots=True)
class Target:
    """At most `most` of `figure`, or, for a ratio, at most so many times the reference's."""

    label: str
    figure: str
    most: float
    form: str = ".2f"
    unit: str = ""
    is_ratio: bool = False
    merged: str | None = None
    """The figure that tells how many events came in one piece: a system that falls behind takes several at once, and
    then costs less for each than it does when it is on time."""

    @property
    def bound(self) -> str:
        """What it asks for, short enough for a table."""
        return f"≤ {self.most:.2f}x" if self.is_ratio else f"≤ {self.most:{self.form}}"


TARGETS: tuple[Target, ...] = (
    Target("CPU a request of 1 KB", "plain_1k.cpu_us", 2.0, is_ratio=True),
    Target("CPU a request of 16 KB", "plain_16k.cpu_us", 2.2, is_ratio=True),
    Target("added p50 at 100 requests/s", "latency.added_p50_ms", 0.5, unit="ms"),
    Target(
        "CPU a chunk, 500 streams", "streams_500.cpu_us", 1.35, is_ratio=True, merged="streams_500.merged"
    ),
    Target("added first token p50, 500 streams", "streams_500.added_ttft_p50_ms", 1.0, unit="ms"),
    Target("memory at 500 streams", "streams_500.pss_mb", 70.0, ".0f", "MB"),
    Target("cold start", "start.seconds", 1.0, unit="s"),
    Target("lost or unfinished, 500 streams", "streams_500.failures", 0.0, ".0f"),
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A target and what was measured; `None`: nothing."""

    target: Target
    value: float | None
    merged: float = 1.0
    """How many events came in one piece, where the target asks."""

    @property
    def is_met(self) -> bool:
        """Whether the run shows it. What was not measured is not shown, nor is what was measured of merged events."""
        return self.value is not None and self.value <= self.target.most and not self.is_behind

    @property
    def is_behind(self) -> bool:
        """Whether so many events were merged that the value says nothing."""
        return self.merged > MOST_MERGED

    def __str__(self) -> str:
        target = self.target
        if self.value is None:
            return f"not met  {target.label}: not measured ({target.bound})"
        shown = f"{self.value:{target.form}}"
        shown = f"{shown}x {REFERENCE}" if target.is_ratio else f"{shown} {target.unit}".rstrip()
        behind = f", but it fell behind: {self.merged:.2f} events at once" if self.is_behind else ""
        return f"{'met' if self.is_met else 'not met':<9}{target.label}: {shown} ({target.bound}){behind}"


def verdicts(
    medians: Mapping[str, Mapping[str, float]],
    ratios: Mapping[str, Mapping[str, float]],
    scenarios: Sequence[str],
) -> Iterator[Verdict]:
    """One for each target of the product that belongs to what was run; none when the product was not."""
    if PRODUCT not in medians:
        return
    for target in TARGETS:
        if target.figure.partition(".")[0] in {*scenarios, "start"}:
            found = ratios.get(PRODUCT, {}) if target.is_ratio else medians[PRODUCT]
            merged = medians[PRODUCT].get(target.merged, 1.0) if target.merged else 1.0
            yield Verdict(target, found.get(target.figure), merged)
