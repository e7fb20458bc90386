"""What the gateway costs: `python -m benchmarks.overhead`, one table of one run.

Starts the simulated engine and the systems of `systems.SYSTEMS`, puts the scenarios of `scenarios.SCENARIOS` on them
in interleaved rounds, prints the medians. Exit code 3 when any answer was lost or any stream unfinished, 2 when a
process did not start.
"""

from __future__ import annotations

import asyncio
import gc
import os
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import msgspec
import typer
import uvloop

from benchmarks import report
from benchmarks.facts import facts
from benchmarks.placement import Placement, allowed_cores, place
from benchmarks.processes import StartError
from benchmarks.scenarios import SCENARIOS, Figures, Scenario, Trial
from benchmarks.stats import medians
from benchmarks.systems import SYSTEMS, Running, compile_all, running, running_engines

EXIT_NOT_STARTED = 2
EXIT_LOST = 3
QUICK_SECONDS = 2.0
FULL_SECONDS = 4.0
SETTLE_SECONDS = 0.3
"""Between two trials: the connections of the one before are closed at both ends."""


def main(
    *,
    quick: Annotated[bool, typer.Option("--quick", help="One short round, at most 90 s.")] = False,
    rounds: Annotated[int | None, typer.Option(min=1, help="Rounds. Default: 3, with --quick 1.")] = None,
    seconds: Annotated[float | None, typer.Option(min=0.2, help="Seconds each load is measured.")] = None,
    only: Annotated[list[str] | None, typer.Option(help="Only these scenarios; may be repeated.")] = None,
    system: Annotated[list[str] | None, typer.Option(help="Only these systems beside the first.")] = None,
    engines: Annotated[int, typer.Option(min=1, help="Simulated engines.")] = 1,
    seed: Annotated[int, typer.Option(help="Seed of the arrivals.")] = 1,
    json: Annotated[Path | None, typer.Option(help="File for all figures of all rounds.")] = None,
) -> None:
    """Measure what the gateway costs, in front of a simulated engine and beside it."""
    scenarios = [scenario for scenario in SCENARIOS if not only or scenario.name in only]
    names = [name for name, _ in SYSTEMS.items() if not system or name in {*system, next(iter(SYSTEMS))}]
    if not scenarios or len(names) < 2:
        known = ", ".join([*(s.name for s in SCENARIOS), *SYSTEMS])
        raise typer.BadParameter(f"choose from: {known}")
    run = Run(
        scenarios,
        names,
        rounds=rounds or (1 if quick else 3),
        seconds=seconds or (QUICK_SECONDS if quick else FULL_SECONDS),
        engines=engines,
        seed=seed,
    )
    try:
        code = run.tell(json)
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
        self._figures: dict[str, list[Figures]] = {name: [] for name in systems}

    def tell(self, file: Path | None) -> int:
        """Measure, print, write `file` if one is given; returns the exit code. Raises `StartError`."""
        self._measure()
        found = {name: medians(rounds) for name, rounds in self._figures.items()}
        for name, rounds in self._figures.items():
            # Not a median: what was lost in one round was lost.
            found[name]["failures"] = sum(
                value for figures in rounds for key, value in figures.items() if _is_failure(key)
            )
        known = facts()
        for line in report.lines(
            found,
            title=_title(known, self._rounds, self._placement),
            scenarios=[scenario.name for scenario in self._scenarios],
            is_shared=self._placement.is_shared,
        ):
            print(line)
        if file is not None:
            whole = {
                "facts": known,
                "placement": str(self._placement),
                "rounds": self._figures,
                "medians": found,
            }
            file.write_bytes(msgspec.json.format(msgspec.json.encode(whole), indent=1))
        return EXIT_LOST if any(figures["failures"] for figures in found.values()) else 0

    def _measure(self) -> None:
        with ExitStack() as stack:
            engines = stack.enter_context(running_engines(self._engine_count, self._placement))
            compile_all(self._names, engines, self._placement)
            systems = [
                stack.enter_context(running(SYSTEMS[name], engines, self._placement)) for name in self._names
            ]
            for system in systems:
                self._figures[system.name].append(_at_rest(system))
            if self._placement.client is not None:
                former = os.sched_getaffinity(0)
                os.sched_setaffinity(0, self._placement.client)
                stack.callback(os.sched_setaffinity, 0, former)
            gc.collect()
            gc.freeze()
            for number in range(self._rounds):
                rotated = systems[number % len(systems) :] + systems[: number % len(systems)]
                for scenario in self._scenarios:
                    for system in rotated:
                        trial = Trial(system, engines, self._seconds, self._seed + number)
                        self._figures[system.name].append(_measured(scenario, trial))


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


def _is_failure(key: str) -> bool:
    return key.endswith((".lost", ".unfinished"))


def _title(known: dict[str, object], rounds: int, placement: Placement) -> str:
    return (
        f"{known['date']}: {known['processor']}, {known['cores']} cores, {known['kernel']}, {known['python']}\n"
        f"{placement}; median of {rounds} round{'s' if rounds > 1 else ''}, simulated engine, everything on"
    )


if __name__ == "__main__":
    typer.run(main)
