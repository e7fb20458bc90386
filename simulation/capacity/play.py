"""A scenario from its values to its numbers: every variant gets the same requests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from config.schema import Config
from simulation.capacity.figures import Figures, figures
from simulation.capacity.run import Load, run
from simulation.capacity.scenario import Arrivals, Closed, Engines, Scenario, Workload
from simulation.capacity.trace import TraceLine
from simulation.world.loop import START

CAPACITY_SECONDS = 40.0
CAPACITY_WARMUP = 10.0
MOST_WAITING = 64
"""Callers beyond what engines hold, while capacity is measured: enough that no slot is ever free."""


class Bug(Exception):
    """Something was raised in the simulated gateway, and nobody caught it."""


def play(
    scenario: Scenario,
    traces: Mapping[str, Sequence[TraceLine]],
    say: Callable[[str], None] = lambda _: None,
) -> list[Figures]:
    """Run every variant. `traces` has the lines of each workload that names a file; `say` hears how far it is.

    Raises `Bug`.
    """
    variants = scenario.variants()
    rates = _rates(scenario, scenario.configuration(variants[0]), say)
    played = []
    for variant in variants:
        workloads = tuple(each for each in scenario.workloads if each.name not in variant.without)
        load = Load(scenario.seed, scenario.duration, scenario.warmup, workloads, rates, traces)
        say(f"{variant.name}: {scenario.duration:g} s of load")
        played.append(_figures(variant.name, load, scenario.engines, scenario.configuration(variant)))
    return played


def capacity(scenario: Scenario, workload: Workload, config: Config) -> float:
    """Requests of this kind that the engines finish in a second when there is always another one waiting."""
    slots = scenario.engines.count * scenario.engines.max_in_flight
    waiting = min(slots, MOST_WAITING, config.admission.max_queue)
    changed: dict[str, object] = {
        "arrivals": Arrivals(closed=Closed(callers=slots + waiting)),
        "patience": None,
        "begins": 0.0,
        "ends": None,
    }
    if workload.turns is not None:
        changed["turns"] = workload.turns.model_copy(update={"think": 0.0})
    flood = workload.model_copy(update=changed)
    load = Load(scenario.seed, CAPACITY_SECONDS, CAPACITY_WARMUP, (flood,), {}, {})
    found = _figures("capacity", load, scenario.engines, config).whole["throughput"]
    return float(found or 0.0)


def _rates(scenario: Scenario, config: Config, say: Callable[[str], None]) -> dict[str, float]:
    """Conversations a second of every workload that has a rate."""
    rates = {}
    for workload in scenario.workloads:
        open_loop = workload.arrivals.poisson or workload.arrivals.bursts
        if open_loop is None:
            continue
        if open_loop.rate is not None:
            rates[workload.name] = open_loop.rate
        elif open_loop.load is not None:
            most = capacity(scenario, workload, config)
            say(f"{workload.name}: the engines can carry {most:.4g} requests/s of it")
            turns = workload.turns.count if workload.turns else 1
            rates[workload.name] = open_loop.load * most / turns
    return rates


def _figures(name: str, load: Load, engines: Engines, config: Config) -> Figures:
    course = run(load, engines, config)
    if course.complaints:
        raise Bug(f"{name}: {course.complaints[0]}")
    hanging = [asked for asked in course.asked if asked.ended is None]
    if hanging:
        raise Bug(
            f"{name}: {len(hanging)} requests got no answer, the first one sent at {hanging[0].sent - START:g} s"
        )
    return figures(name, load, course)
