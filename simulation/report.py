"""Schedules, results and summaries as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields

from simulation.campaign import Summary
from simulation.course import Result
from simulation.schedule import Schedule
from simulation.schedule.values import Behaviour, ClientPlan, EnginePlan, Happening, RequestPlan

REPLAY = "python -m simulation --replay {seed} --trace"
INDENT = 14


def summary_lines(summary: Summary, wall_seconds: float) -> Iterator[str]:
    """One table."""
    yield from _row("schedules", str(summary.schedules))
    yield from _row("requests", f"{summary.requests}, {summary.dispatches} dispatches")
    yield from _row("answers", _counts(summary.answers))
    yield from _row("outcomes", _counts(summary.outcomes))
    yield from _row("faults", _counts(summary.faults))
    yield from _row("violations", _counts(summary.broken) or "0")
    yield from _row("virtual time", f"{summary.virtual_seconds:.0f} s")
    yield from _row("wall time", f"{wall_seconds:.1f} s")


def violation_lines(result: Result) -> Iterator[str]:
    """What is wrong with one result, and how to see it again."""
    for violation in result.violations:
        yield from _row(violation.invariant, violation.what)
    yield from _row("replay", REPLAY.format(seed=result.schedule.seed))


def schedule_lines(schedule: Schedule) -> Iterator[str]:
    """A schedule, for a person. What is not said is as usual."""
    yield f"schedule {schedule.seed}, calm from {schedule.calm} s on"
    yield f"gateway: {_changed(schedule.settings)}"
    for engine in schedule.engines:
        yield from _engine(engine)
    for number, client in enumerate(schedule.clients):
        yield from _client(number, client)
    for happening in schedule.happenings:
        yield f"{happening.at:8.3f} s  {_happening(happening)}"


def _engine(engine: EnginePlan) -> Iterator[str]:
    models = ", ".join(public if public == own else f"{public} as {own}" for public, own in engine.models)
    yield (
        f"{engine.id} at {engine.address}: {models}; {engine.max_in_flight} at once; "
        f"keeps connections {engine.keep_alive} s, the gateway {engine.idle_seconds} s; {_changed(engine.wire)}"
    )
    for number, cut in engine.cuts:
        yield f"    connection {number}: {_changed(cut)}"
    for number, behaviour in enumerate(engine.behaviours):
        yield f"    request {number}: {_behaviour(behaviour)}"


def _client(number: int, client: ClientPlan) -> Iterator[str]:
    cut = f"; cut: {_changed(client.cut)}" if client.cut else ""
    leave = f"; leaves: {_changed(client.leave)}" if client.leave else ""
    manners = _changed(client, but=("at", "wire", "requests", "cut", "leave"))
    yield f"client {number} at {client.at} s: {manners}; {_changed(client.wire)}{cut}{leave}"
    for request in client.requests:
        yield f"    {_request(request)}"


def _behaviour(behaviour: Behaviour) -> str:
    return f"{behaviour.answering}: {_changed(behaviour, but=('answering',))}"


def _request(request: RequestPlan) -> str:
    return _changed(request)


def _happening(happening: Happening) -> str:
    return f"{happening.engine or 'gateway'} {happening.what} ({happening.how})"


def _changed(value: object, but: tuple[str, ...] = ()) -> str:
    """The fields of a value that are not as usual."""
    said = [
        f"{each.name} {getattr(value, each.name)}"
        for each in fields(value)  # type: ignore[arg-type]  # a dataclass
        if each.name not in but and getattr(value, each.name) != each.default
    ]
    return ", ".join(said) or "as usual"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(
        f"{name} {count}" for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    )


def _row(name: str, text: str) -> Iterator[str]:
    yield f"{name:<{INDENT}}{text}"
