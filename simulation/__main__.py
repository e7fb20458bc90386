"""`python -m simulation`: run many seeded fault schedules, or one of them again."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from simulation.campaign import Summary, run
from simulation.course import simulate
from simulation.report import schedule_lines, summary_lines, violation_lines
from simulation.schedule import draw

Schedules = Annotated[int, typer.Option(min=1, help="How many schedules to run.")]
Seed = Annotated[int, typer.Option(min=0, help="The first one's seed; each next one has the next.")]
Replay = Annotated[int | None, typer.Option(min=0, help="Run this seed's schedule alone, and show it.")]
Trace = Annotated[bool, typer.Option("--trace", help="With --replay: show every event.")]


def main(schedules: Schedules = 500, seed: Seed = 1, replay: Replay = None, trace: Trace = False) -> None:
    """Simulate the gateway under faults. Exits with 1 when an invariant was broken."""
    broken = _many(seed, schedules) if replay is None else _one(replay, trace=trace)
    raise typer.Exit(1 if broken else 0)


def _many(seed: int, schedules: int) -> bool:
    began, summary = time.monotonic(), Summary()
    for result in run(seed, schedules):
        summary.add(result)
        if result.violations:
            _say(
                f"seed {result.schedule.seed}", *violation_lines(result), *schedule_lines(result.schedule), ""
            )
    _say(*summary_lines(summary, time.monotonic() - began))
    return bool(summary.broken)


def _one(seed: int, *, trace: bool) -> bool:
    result = simulate(draw(seed), keep_trace=trace)
    _say(*schedule_lines(result.schedule), *(result.trace or ()))
    _say(f"digest {result.digest}", *violation_lines(result))
    return bool(result.violations)


def _say(*lines: str) -> None:
    for line in lines:
        typer.echo(line)


if __name__ == "__main__":
    typer.run(main)
