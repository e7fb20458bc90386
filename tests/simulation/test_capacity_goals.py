"""What the queue and the balancer are for, as numbers that hold on modelled engines.

The bounds are looser than what `cascadia simulate` prints for these scenarios: they are to find what breaks, not to
follow every change.
"""

from __future__ import annotations

from pathlib import Path

from simulation.capacity.figures import Figures
from simulation.capacity.play import capacity, play
from simulation.capacity.reading import read
from simulation.capacity.scenario import Scenario

FOLDER = Path(__file__).parents[2] / "config" / "scenarios"


def scenario(name: str, *, count: int | None = None, **changes: object) -> Scenario:
    """The one that comes with the program, shorter and with fewer engines where that is enough."""
    found = read(FOLDER / f"{name}.yaml", changes).scenario
    if count is None:
        return found
    return found.model_copy(update={"engines": found.engines.model_copy(update={"count": count})})


def played(wanted: Scenario, *variants: str) -> dict[str, Figures]:
    only = tuple(variant for variant in wanted.compare if variant.name in variants)
    return {each.name: each for each in play(wanted.model_copy(update={"compare": only}), {})}


def number(figures: Figures, name: str, workload: str | None = None) -> float:
    value = figures.whole[name] if workload is None else figures.workloads[workload][name]
    assert value is not None
    return float(value)


def test_under_twice_the_load_as_much_is_answered_in_time_as_the_engines_can_carry() -> None:
    wanted = scenario("overload", duration=75.0, warmup=40.0)
    most = capacity(wanted, wanted.workloads[0], wanted.configuration(wanted.compare[1]))
    fair = played(wanted, "fair")["fair"]
    untold = tuple(each.model_copy(update={"deadline": None}) for each in wanted.workloads)
    fifo = played(wanted.model_copy(update={"workloads": untold}), "fifo")["fifo"]
    assert number(fair, "goodput") >= 0.95 * most
    assert number(fair, "goodput") >= 1.5 * number(fifo, "goodput")
    assert number(fair, "wasted_work") < 0.03
    assert number(fair, "first_token_p99") < 3.0
    assert number(fair, "evicted") < 0.02 * number(fair, "rejected")  # who is refused is refused at once


def test_a_quiet_tenant_finds_a_slot_free_beside_one_that_takes_all_there_are() -> None:
    found = played(scenario("noisy-neighbour", duration=120.0), "alone", "fifo", "fair")
    assert number(found["fair"], "fairness") >= 0.95
    assert number(found["fair"], "output_tokens") >= 0.95 * number(found["fifo"], "output_tokens")
    assert number(found["fair"], "first_token_p95", "quiet") < 1.4 * number(
        found["alone"], "first_token_p95", "quiet"
    )


def test_priority_goes_before_flex_and_flex_gets_what_is_left() -> None:
    wanted = scenario("tiers", count=1, duration=60.0, warmup=30.0)
    found = played(wanted, "alone", "fair")
    people, batch = wanted.workloads
    config = wanted.configuration(wanted.compare[0])
    fair = found["fair"]
    assert number(fair, "good", "people") == number(fair, "sent", "people")
    assert number(fair, "first_token_p95", "people") < 0.15
    taken = number(fair, "throughput", "people") / capacity(wanted, people, config)
    assert number(fair, "throughput", "batch") >= 0.9 * (1 - taken) * capacity(wanted, batch, config)


def test_shared_prompts_go_where_they_are_and_no_engine_gets_too_many() -> None:
    found = played(scenario("shared-prefixes", duration=45.0, warmup=25.0), "round_robin", "scored", "prefix")
    for name in ("scored", "prefix"):
        assert number(found[name], "first_token_p50") <= 0.4 * number(found["round_robin"], "first_token_p50")
        assert number(found[name], "spread") <= 1.25
        assert number(found[name], "cache_hits") > 2 * number(found["round_robin"], "cache_hits")


def test_looking_for_shared_prompts_costs_nothing_where_there_are_none() -> None:
    found = played(scenario("unique-prompts", duration=30.0, warmup=5.0), "least_requests", "scored")
    assert number(found["scored"], "first_token_p50") <= 1.02 * number(
        found["least_requests"], "first_token_p50"
    )
    assert number(found["scored"], "spread") <= 1.25
