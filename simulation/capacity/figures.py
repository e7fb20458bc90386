"""The numbers of one run, from what was asked and what engines did.

What is counted by the moment of its end - goodput, throughput, tokens - is counted between the warm-up and the last
arrival. Waits are those of requests that were sent in that time, however long they took.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from gateway.core.outcome import Outcome
from simulation.capacity.asked import Asked
from simulation.capacity.fairness import fair_shares, jain
from simulation.capacity.run import Course, Load, Worked
from simulation.capacity.scenario import Goal, Workload
from simulation.capacity.weighted import Weighted, percentile
from simulation.world.loop import START

SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
_DIGITS = 6

Number = float | int | None


@dataclass(frozen=True, slots=True)
class Figures:
    """One run in numbers. Rates are a second, times seconds, shares 0 to 1; `None` where there is nothing to count."""

    name: str
    whole: Mapping[str, Number]
    workloads: Mapping[str, Mapping[str, Number]]
    engines: Mapping[str, Mapping[str, Number]]
    tenants: Mapping[str, Mapping[str, Number]]

    def as_json(self) -> dict[str, object]:
        """Plain values."""
        return {
            "name": self.name,
            "figures": dict(self.whole),
            "workloads": {name: dict(values) for name, values in self.workloads.items()},
            "tenants": {name: dict(values) for name, values in self.tenants.items()},
            "engines": {name: dict(values) for name, values in self.engines.items()},
        }


def figures(name: str, load: Load, course: Course) -> Figures:
    """Count what one run came to."""
    window = _Window(load)
    tenants = _tenants(load.workloads, course.asked, window)
    shares = [values["of_fair_share"] for values in tenants.values()]
    whole = _counts(load.workloads, course.asked, window)
    whole |= _of(Weighted().merge(each.gaps for each in course.engines).percentile, "gap")
    whole["fairness"] = _round(jain([share for share in shares if share is not None]))
    whole |= _engines_together(course.engines)
    return Figures(
        name,
        whole,
        {
            workload.name: _counts(
                load.workloads, [asked for asked in course.asked if asked.workload == number], window
            )
            for number, workload in enumerate(load.workloads)
        },
        {each.name: _engine(each, window.seconds) for each in course.engines},
        tenants,
    )


def is_good(asked: Asked, goal: Goal) -> bool:
    """Whether its answer was whole and in time."""
    if not asked.is_whole or asked.first is None or asked.ended is None:
        return False
    if goal.first_token is not None and asked.first - asked.sent > goal.first_token:
        return False
    if goal.total is not None and asked.ended - asked.sent > goal.total:
        return False
    per_token = _per_token(asked)
    return goal.per_token is None or per_token is None or per_token <= goal.per_token


class _Window:
    """The time that is counted."""

    def __init__(self, load: Load) -> None:
        self.begins, self.ends = START + load.warmup, START + load.duration
        self.seconds = load.duration - load.warmup

    def has(self, moment: float | None) -> bool:
        return moment is not None and self.begins <= moment < self.ends


def _counts(workloads: Sequence[Workload], asked: Sequence[Asked], window: _Window) -> dict[str, Number]:
    sent = [each for each in asked if window.has(each.sent)]
    ended = [each for each in asked if window.has(each.ended)]
    good = [each for each in ended if is_good(each, workloads[each.workload].goal)]
    whole = [each for each in ended if each.is_whole]
    outcomes = [each.outcome for each in sent]
    worked = sum(each.worked_tokens for each in ended)
    useful = sum(each.worked_tokens for each in good)
    counts: dict[str, Number] = {
        "sent": len(sent),
        "good": sum(is_good(each, workloads[each.workload].goal) for each in sent),
        "rejected": sum(outcome is Outcome.REJECTED for outcome in outcomes),
        "evicted": sum(outcome is Outcome.EVICTED for outcome in outcomes),
        "hung_up": sum(outcome is Outcome.CLIENT_GONE for outcome in outcomes),
        "failed": sum(
            outcome not in {Outcome.OK, Outcome.REJECTED, Outcome.EVICTED, Outcome.CLIENT_GONE}
            for outcome in outcomes
        ),
        "goodput": len(good) / window.seconds,
        "throughput": len(whole) / window.seconds,
        "output_tokens": sum(each.answered_tokens for each in whole) / window.seconds,
        "wasted_work": 1 - useful / worked if worked else None,
    }
    rounded: dict[str, Number] = {name: _round(value) for name, value in counts.items()}
    rounded |= _percentiles(
        (each.first - each.sent for each in sent if each.first is not None), "first_token"
    )
    rounded |= _percentiles((each.waited for each in sent if each.waited is not None), "queue")
    return rounded | _percentiles(
        (value for each in sent if (value := _per_token(each)) is not None), "per_token"
    )


def _per_token(asked: Asked) -> float | None:
    """Seconds a token after the first one, on average."""
    if not asked.is_whole or not asked.is_stream or asked.first is None or asked.ended is None:
        return None
    return (asked.ended - asked.first) / (asked.answered_tokens - 1) if asked.answered_tokens > 1 else None


def _tenants(
    workloads: Sequence[Workload], asked: Sequence[Asked], window: _Window
) -> dict[str, dict[str, Number]]:
    """What each tenant got of what it asked for, and of its fair share of all that was served."""
    weights = {workload.tenant: workload.weight for workload in workloads}
    served: dict[str, float] = defaultdict(float)
    wanted: dict[str, float] = defaultdict(float)
    for each in asked:
        tenant = workloads[each.workload].tenant
        tokens = each.prompt.tokens + each.output_tokens
        if window.has(each.sent):
            wanted[tenant] += tokens
        if window.has(each.ended) and each.is_whole:
            served[tenant] += tokens
    fair = fair_shares(
        {name: max(wanted[name], served[name]) for name in weights}, weights, sum(served.values())
    )
    return {
        name: {
            "weight": weights[name],
            "wanted_tokens": _round(wanted[name] / window.seconds),
            "served_tokens": _round(served[name] / window.seconds),
            "of_fair_share": _round(served[name] / fair[name]) if fair[name] else None,
        }
        for name in weights
    }


def _engines_together(engines: Sequence[Worked]) -> dict[str, Number]:
    works = [each.work for each in engines]
    queried = sum(work.queried_tokens for work in works)
    return {
        "cache_hits": _round(sum(work.cached_tokens for work in works) / queried) if queried else None,
        "spread": _spread([work.occupied_seconds for work in works]),
        "preemptions": sum(work.preemptions for work in works),
    }


def _spread(loads: Sequence[float]) -> Number:
    """The most loaded one's load as a multiple of the mean."""
    total = sum(loads)
    return _round(max(loads) * len(loads) / total) if total else None


def _engine(worked: Worked, seconds: float) -> dict[str, Number]:
    work = worked.work
    return {
        "busy": _round(work.busy_seconds / seconds),
        "sequences": _round(work.occupied_seconds / seconds),
        "finished": work.finished,
        "prefilled_tokens": work.prefilled_tokens,
        "generated_tokens": work.generated_tokens,
        "cache_hits": _round(work.cached_tokens / work.queried_tokens) if work.queried_tokens else None,
        "preemptions": work.preemptions,
    }


def _percentiles(values: Iterable[float], name: str) -> dict[str, Number]:
    ordered = sorted(values)
    return _of(lambda share: percentile(ordered, share), name)


def _of(find: Callable[[float], float | None], name: str) -> dict[str, Number]:
    return {f"{name}_{label}": _round(find(share)) for label, share in SHARES.items()}


def _round(value: Number) -> Number:
    return round(value, _DIGITS) if isinstance(value, float) else value
