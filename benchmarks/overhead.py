"""What the gateway costs: `python -m benchmarks.overhead`, one table of one run.

Starts the simulated engine and the systems of `systems.SYSTEMS`, puts the scenarios of `scenarios.SCENARIOS` on them
in interleaved rounds, prints the medians, the ratios to nginx and the verdicts on the targets. Exit code 3 when any
answer was lost or any stream unfinished, or, with --gate, a target not met; 2 when a process did not start.
"""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import msgspec
import typer
import uvloop

from benchmarks import compare, report
from benchmarks.facts import facts
from benchmarks.placement import Placement, allowed_cores, place
from benchmarks.processes import StartError
from benchmarks.scenarios import SCENARIOS, Figures, Scenario, Trial
from benchmarks.systems import (
    BASELINE,
    REFERENCE,
    SYSTEMS,
    Engines,
    Running,
    compile_all,
    running,
    running_engines,
)
from benchmarks.targets import Verdict, verdicts

EXIT_NOT_STARTED = 2
EXIT_NOT_MET = 3
QUICK_SECONDS = 1.2
FULL_SECONDS = 4.0
SETTLE_SECONDS = 0.3
"""Between two trials: the connections of the one before are closed at both ends."""


def main(
    *,
    quick: Annotated[bool, typer.Option("--quick", help="One short round, at most 90 s.")] = False,
    rounds: Annotated[int | None, typer.Option(min=1, help="Rounds. Default: 3, with --quick 1.")] = None,
    seconds: Annotated[float | None, typer.Option(min=0.2, help="Seconds each load is measured.")] = None,
    only: Annotated[list[str] | None, typer.Option(help="Only these scenarios; may be repeated.")] = None,
    system: Annotated[
        list[str] | None, typer.Option(help=f"Only these beside {BASELINE} and {REFERENCE}.")
    ] = None,
    engines: Annotated[int, typer.Option(min=1, help="Simulated engines.")] = 1,
    seed: Annotated[int, typer.Option(help="Seed of the arrivals.")] = 1,
    gate: Annotated[bool, typer.Option("--gate", help="Exit code 3 when a target is not met.")] = False,
    json: Annotated[Path | None, typer.Option(help="File for all figures of all rounds.")] = None,
) -> None:
    """Measure what the gateway costs, in front of a simulated engine and beside it."""
    scenarios = [scenario for scenario in SCENARIOS if not only or scenario.name in only]
    names = [name for name in SYSTEMS if not system or name in {*system, BASELINE, REFERENCE}]
    if not scenarios or not set(system or ()) <= set(SYSTEMS):
        known = ", ".join([*(s.name for s in SCENARIOS), *SYSTEMS])
        raise typer.BadParameter(f"choose from: {known}")
    for name in names.copy():
        if what := SYSTEMS[name].missing():
            print(what)
            names.remove(name)
    run = Run(
        scenarios,
        names,
        rounds=rounds or (1 if quick else 3),
        seconds=seconds or (QUICK_SECONDS if quick else FULL_SECONDS),
        engines=engines,
        seed=seed,
    )
    try:
        code = run.tell(json, gate=gate)
    except StartError as error:
        typer.echo(f"error: {error}", err=True)
        code = EXIT_NOT_STARTED
    raise typer.Exit(code)


class Run:
    """One run of the benchmark: all its figures come from the same minutes of the same machine."""

    def __init__(
        self,
        scenarios: list[Scenario],
        systems: list[str],
        *,
        rounds: int,
        seconds: float,
        engines: int,
        seed: int,
    ) -> None:
        self._scenarios = scenarios
        self._names = systems
        self._rounds = rounds
        self._seconds = seconds
        self._engine_count = engines
        self._seed = seed
        self._placement = place(allowed_cores(), engines)
        self._figures: list[dict[str, Figures]] = []

    def tell(self, file: Path | None, *, gate: bool) -> int:
        """Measure, print, write `file` if one is given; returns the exit code. Raises `StartError`."""
        self._measure()
        rounds = [compare.complete(figures, BASELINE) for figures in self._figures]
        found, ratios = compare.summary(rounds), compare.ratios(rounds, REFERENCE)
        known = facts()
        scenarios = [scenario.name for scenario in self._scenarios]
        judged = list(verdicts(found, ratios, scenarios))
        for line in report.lines(
            found,
            ratios,
            title=_title(known, self._rounds, self._placement),
            scenarios=scenarios,
            is_shared=self._placement.is_shared,
        ):
            print(line)
        for verdict in judged:
            print(verdict)
        if file is not None:
            whole = {
                "facts": known,
                "placement": str(self._placement),
                "rounds": rounds,
                "medians": found,
                "ratios": ratios,
                "targets": [_as_members(verdict) for verdict in judged],
            }
            file.write_bytes(msgspec.json.format(msgspec.json.encode(whole), indent=1))
        return exit_code(found, judged, gate=gate)

    def _measure(self) -> None:
        with ExitStack() as stack:
            engines = stack.enter_context(running_engines(self._engine_count, self._placement))
            compile_all(self._names, engines, self._placement)
            systems = [
                stack.enter_context(running(SYSTEMS[name], engines, self._placement)) for name in self._names
            ]
            if self._placement.client is not None:
                former = os.sched_getaffinity(0)
                os.sched_setaffinity(0, self._placement.client)
                stack.callback(os.sched_setaffinity, 0, former)
            gc.collect()
            gc.freeze()
            for number in range(self._rounds):
                self._figures.append(
                    {system.name: _at_rest(system) for system in systems}
                    if number == 0
                    else {name: self._started_again(name, engines) for name in self._names}
                )
                rotated = systems[number % len(systems) :] + systems[: number % len(systems)]
                for scenario in self._scenarios:
                    for system in rotated:
                        trial = Trial(system, engines, self._seconds, self._seed + number)
                        self._figures[-1][system.name].update(_measured(scenario, trial))

    def _started_again(self, name: str, engines: Engines) -> Figures:
        """A start of its own for each round: the first one's luck is not the figure of all."""
        with running(SYSTEMS[name], engines, self._placement) as another:
            return _at_rest(another)


def _measured(scenario: Scenario, trial: Trial) -> Figures:
    async def work() -> Figures:
        figures = await scenario.measure(trial)
        await asyncio.sleep(SETTLE_SECONDS)
        return figures

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work())


def _at_rest(system: Running) -> Figures:
    """What is known of a system before any load."""
    figures: Figures = {}
    if system.cold_start is not None:
        figures["start.seconds"] = system.cold_start
    if system.process is not None:
        figures["idle.pss_mb"] = system.process.pss_bytes() / 1e6
    return figures


def exit_code(found: report.BySystem, judged: Sequence[Verdict], *, gate: bool) -> int:
    """The run's exit code: what was lost counts always, targets only where they are a gate."""
    is_lost = any(figures["failures"] for figures in found.values())
    is_short = gate and not all(verdict.is_met for verdict in judged)
    return EXIT_NOT_MET if is_lost or is_short else 0


def _as_members(verdict: Verdict) -> dict[str, object]:
    target = verdict.target
    return {
        "label": target.label,
        "figure": target.figure,
        "is_ratio": target.is_ratio,
        "most": target.most,
        "value": verdict.value,
        "merged": verdict.merged,
        "is_met": verdict.is_met,
    }


def _title(known: dict[str, object], rounds: int, placement: Placement) -> str:
    return (
        f"{known['date']}: {known['processor']}, {known['cores']} cores, {known['kernel']}, {known['python']}\n"
        f"{placement}; median of {rounds} round{'s' if rounds > 1 else ''}, simulated engine, everything on"
    )


if __name__ == "__main__":
    typer.run(main)
