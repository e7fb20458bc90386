"""Counts of calls that ended, as plain numbers.

A call moves up to seven numbers at its end. Through the metrics library's own counters that is seven locks and as many
checks of arguments, a quarter of our whole cost of a small request; all of it runs on one thread, so plain numbers do.
They become metrics when they are asked for.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.utils import floatToGoString

from gateway.core.outcome import End, Outcome

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 0.75, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
"""Buckets that resolve the 100 ms of an interactive target and reach the longest request."""
NO_MODEL = "none"
"""Label of calls that named no model we have."""
_BOUNDS = [*map(floatToGoString, SECONDS), "+Inf"]


class Distribution:
    """How values fall into the buckets of `SECONDS`, a value on a bound into the lower one."""

    __slots__ = ("_counts", "_total")

    def __init__(self) -> None:
        self._counts = [0] * len(_BOUNDS)
        self._total = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self._counts[bisect_left(SECONDS, value)] += 1
        self._total += value

    def add_to(self, family: HistogramMetricFamily, labels: Sequence[str]) -> None:
        """Give what was counted to a metric; nothing as long as nothing was."""
        if any(self._counts):
            cumulative = accumulate(self._counts)
            family.add_metric(labels, list(zip(_BOUNDS, cumulative, strict=True)), self._total)


class Series:
    """The numbers of one model and operation."""

    __slots__ = ("cached", "completion", "dispatches", "duration", "ends", "first_token", "prompt")

    def __init__(self) -> None:
        self.ends: dict[Outcome, int] = {}
        self.duration = Distribution()
        self.first_token = Distribution()
        self.prompt = self.cached = self.completion = self.dispatches = 0


class Tally:
    """All calls that ended, by model and operation. Labels come from closed sets."""

    def __init__(self) -> None:
        self._series: dict[tuple[str, str], Series] = {}

    def on_end(self, end: End) -> None:
        """Count a call that is over."""
        key = (end.model or NO_MODEL, end.operation)
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = Series()
        outcome = end.outcome
        series.ends[outcome] = series.ends.get(outcome, 0) + 1
        if end.model is None:
            return
        series.dispatches += end.attempts
        if outcome is Outcome.OK:
            series.duration.observe(end.ended - end.arrived)
        if end.stream and end.first_content is not None:
            series.first_token.observe(end.first_content - end.arrived)
        usage = end.usage
        if usage is not None:
            series.prompt += usage.prompt_tokens
            series.cached += usage.cached_tokens
            series.completion += usage.completion_tokens

    def collect(self) -> Iterator[Metric]:
        """The numbers as they are now."""
        yield self._requests()
        yield self._dispatches()
        yield from self._distributions()
        yield self._tokens()

    def _requests(self) -> Metric:
        family = CounterMetricFamily(
            "cascadia_requests",
            "Inference calls by their end.",
            labels=["model", "operation", "outcome"],
        )
        for key, series in self._all():
            for outcome, count in tuple(series.ends.items()):
                family.add_metric([*key, outcome.value], count)
        return family

    def _dispatches(self) -> Metric:
        family = CounterMetricFamily(
            "cascadia_dispatches",
            "Times that a call was sent to an engine: more than the calls when some are sent again.",
            labels=["model", "operation"],
        )
        for key, series in self._all():
            if key[0] != NO_MODEL:
                family.add_metric(key, series.dispatches)
        return family

    def _distributions(self) -> Iterator[Metric]:
        duration = HistogramMetricFamily(
            "cascadia_request_duration_seconds",
            "From the head of a request to the last byte of its answer, calls that were answered in full.",
            labels=["model", "operation"],
        )
        first_token = HistogramMetricFamily(
            "cascadia_time_to_first_token_seconds",
            "From the head of a request to the first content of its stream.",
            labels=["model", "operation"],
        )
        for key, series in self._all():
            series.duration.add_to(duration, key)
            series.first_token.add_to(first_token, key)
        yield duration
        yield first_token

    def _tokens(self) -> Metric:
        family = CounterMetricFamily(
            "cascadia_tokens", "Tokens as the engines counted them.", labels=["model", "type"]
        )
        totals: dict[tuple[str, str], int] = {}
        for (model, _), series in self._all():
            for kind in ("prompt", "cached", "completion"):
                totals[model, kind] = totals.get((model, kind), 0) + getattr(series, kind)
        for (model, kind), total in totals.items():
            if model != NO_MODEL:
                family.add_metric([model, kind], total)
        return family

    def _all(self) -> Iterable[tuple[tuple[str, str], Series]]:
        """All series; a copy, since a scrape may run in another thread than the calls."""
        return tuple(self._series.items())
