"""What the gateway is held to, and whether a run shows it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.systems import PRODUCT, REFERENCE


@dataclass(frozen=True, slots=True)
class Target:
    """At most `most` of `figure`, or, for a ratio, at most so many times the reference's."""

    label: str
    figure: str
    most: float
    form: str = ".2f"
    unit: str = ""
    is_ratio: bool = False

    @property
    def bound(self) -> str:
        """What it asks for, short enough for a table."""
        return f"≤ {self.most:.2f}x" if self.is_ratio else f"≤ {self.most:{self.form}}"


TARGETS: tuple[Target, ...] = (
    Target("CPU a request of 1 KB", "plain_1k.cpu_us", 2.0, is_ratio=True),
    Target("CPU a request of 16 KB", "plain_16k.cpu_us", 2.2, is_ratio=True),
    Target("added p50 at 100 requests/s", "latency.added_p50_ms", 0.5, unit="ms"),
    Target("CPU a chunk, 500 streams", "streams_500.cpu_us", 1.35, is_ratio=True),
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

    @property
    def is_met(self) -> bool:
        """Whether the run shows it. What was not measured is not shown."""
        return self.value is not None and self.value <= self.target.most

    def __str__(self) -> str:
        target = self.target
        if self.value is None:
            return f"not met  {target.label}: not measured ({target.bound})"
        shown = f"{self.value:{target.form}}"
        shown = f"{shown}x {REFERENCE}" if target.is_ratio else f"{shown} {target.unit}".rstrip()
        return f"{'met' if self.is_met else 'not met':<9}{target.label}: {shown} ({target.bound})"


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
            yield Verdict(target, found.get(target.figure))
