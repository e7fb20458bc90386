"""What the policies come to on eight modelled engines, with the gateway's own Exchange, pool and policies in virtual time."""

from __future__ import annotations

from typing import Any

from simulation.capacity import run
from simulation.capacity.engine import Engine, Timers
from simulation.capacity.figures import Figures
from simulation.capacity.play import play
from simulation.capacity.speed import Speed
from tests.support.scenarios import SPEED, scenario, workload

ENGINES: dict[str, Any] = {
    "count": 8,
    "max_in_flight": 64,
    "duration": 45.0,
    "warmup": 15.0,
    "speed": {**SPEED, "max_model_len": 8192, "max_num_seqs": 64},
}
MOST = 1.25
"""Times the mean that the most loaded engine may have."""


def compared(asked: dict[str, Any], *policies: str) -> dict[str, Figures]:
    """The same requests, each time by another policy."""
    variants = [
        {"name": name.replace("_", "-"), "gateway": {"admission": {"policy": name}}} for name in policies
    ]
    return dict(zip(policies, play(scenario(asked, **ENGINES, compare=variants), {}), strict=True))


def number(figures: Figures, name: str) -> float:
    value = figures.whole[name]
    assert value is not None, name
    return float(value)


def test_conversations_that_share_a_beginning_stay_where_it_is_known() -> None:
    talk = workload(
        arrivals={"poisson": {"rate": 5.0}},
        prompt={"fixed": 120},
        output={"uniform": [40, 80]},
        prefix={"tokens": 600, "groups": 20},
        turns={"count": 6, "think": 3.0},
    )
    found = compared(talk, "scored", "round_robin")
    scored, in_turn = found["scored"], found["round_robin"]
    assert number(scored, "cache_hits") > number(in_turn, "cache_hits") + 0.15
    assert number(scored, "first_token_p95") < 0.85 * number(in_turn, "first_token_p95")
    assert number(scored, "spread") <= MOST
    assert number(scored, "failed") == 0


def test_one_beginning_that_all_share_overloads_nobody() -> None:
    hot = workload(
        arrivals={"poisson": {"rate": 40.0}},
        prompt={"fixed": 60},
        output={"fixed": 80},
        prefix={"tokens": 1500, "groups": 1},
    )
    (scored,) = compared(hot, "scored").values()
    assert number(scored, "spread") <= MOST
    assert number(scored, "cache_hits") > 0.9


def test_prompts_that_share_nothing_fare_no_worse_than_by_load_alone() -> None:
    unique = workload(
        arrivals={"poisson": {"rate": 24.0}},
        prompt={"lognormal": {"median": 500, "sigma": 0.8, "most": 4000}},
        output={"lognormal": {"median": 80, "sigma": 0.6, "most": 400}},
    )
    found = compared(unique, "scored", "least_requests")
    scored, least = found["scored"], found["least_requests"]
    for name in ("first_token_p50", "first_token_p95", "per_token_p50", "per_token_p95"):
        assert number(scored, name) <= 1.02 * number(least, name), name
    assert number(scored, "throughput") >= 0.98 * number(least, "throughput")
    assert number(scored, "spread") <= MOST


def test_an_engine_that_is_ten_times_slower_is_left_with_a_tenth_and_the_others_serve_as_without_it(
    monkeypatch,
) -> None:
    """F7: slow, not dead."""

    def engine(name: str, speed: Speed, timers: Timers) -> Engine:
        return Engine(name, slowed(speed) if name == "engine-0" else speed, timers)

    asked = workload(
        arrivals={"poisson": {"rate": 12.0}}, prompt={"fixed": 300}, output={"fixed": 60}, goal={"total": 3.0}
    )
    (without,) = play(scenario(asked, **{**ENGINES, "count": 3}), {})
    monkeypatch.setattr(run, "Engine", engine)
    (with_it,) = play(scenario(asked, **{**ENGINES, "count": 4}), {})
    finished = [each["finished"] or 0 for each in with_it.engines.values()]
    assert 0 < finished[0] <= 0.1 * sum(finished)
    assert number(with_it, "goodput") >= 0.9 * number(without, "goodput")


def slowed(speed: Speed) -> Speed:
    return speed.model_copy(
        update={name: 10 * getattr(speed, name) for name in ("step_ms", "prefill_token_ms", "sequence_ms")}
    )
