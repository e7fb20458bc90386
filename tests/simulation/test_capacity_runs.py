"""Scenarios from end to end: the product's gateway over modelled engines."""

from __future__ import annotations

import json

import pytest

from simulation.capacity.fairness import fair_shares, jain
from simulation.capacity.play import capacity, play
from simulation.capacity.run import Load, run
from simulation.capacity.trace import TraceLine
from tests.support.scenarios import SPEED, played, scenario, workload


def test_the_same_seed_gives_the_same_bytes_and_another_one_others() -> None:
    def text(seed: int) -> str:
        talk = workload(turns={"count": 3, "think": 2.0}, output={"uniform": [10, 90]})
        return json.dumps([each.as_json() for each in play(scenario(talk, workload("b"), seed=seed), {})])

    assert text(1) == text(1)
    assert text(1) != text(2)


def test_every_request_is_answered_and_everything_is_counted_once() -> None:
    figures = played(workload(), workload("b", stream=False), warmup=0.0)
    whole = figures.whole
    assert whole["good"] == whole["sent"]
    assert whole["sent"] == sum(each["sent"] or 0 for each in figures.workloads.values())
    assert {whole[name] for name in ("rejected", "evicted", "hung_up", "failed")} == {0}


def test_littles_law_holds_at_the_engines() -> None:
    """Sequences there, on average, are arrivals a second times seconds there (Little 1961)."""
    wanted = scenario(workload(arrivals={"poisson": {"rate": 20.0}}), duration=300.0, warmup=30.0)
    load = Load(1, 300.0, 30.0, wanted.workloads, {"chat": 20.0}, {})
    course = run(load, wanted.engines, wanted.configuration(wanted.variants()[0]))
    stays = [
        asked.ended - asked.sent - asked.waited - 0.001
        for asked in course.asked
        if asked.ended is not None and asked.waited is not None
    ]
    there = sum(engine.work.occupied_seconds for engine in course.engines) / 270.0
    assert there == pytest.approx(20.0 * sum(stays) / len(stays), rel=0.05)


def test_capacity_is_what_engines_finish_when_another_one_always_waits() -> None:
    wanted = scenario()
    found = capacity(wanted, wanted.workloads[0], wanted.configuration(wanted.variants()[0]))
    # 16 slots, 50 steps an answer of 10 ms and 0.1 ms a sequence; a prompt of 200 tokens once in each slot's turn.
    turn = 50 * (0.010 + 16 * 0.0001) + 16 * 200 * 0.00005
    assert found == pytest.approx(2 * 16 / turn, rel=0.1)
    below = played(workload(arrivals={"poisson": {"load": 0.5}}))
    assert below.whole["throughput"] == pytest.approx(found / 2, rel=0.15)


def test_an_engine_never_gets_more_than_the_gateway_may_give_it() -> None:
    figures = played(workload(arrivals={"closed": {"callers": 60}}))
    assert all((engine["sequences"] or 0) <= 16 for engine in figures.engines.values())
    assert (figures.whole["queue_p50"] or 0) > 0


def test_callers_without_patience_hang_up_and_their_work_is_wasted() -> None:
    figures = played(workload(patience=0.3))
    assert (figures.whole["hung_up"] or 0) > 0
    assert figures.whole["good"] == 0
    assert figures.whole["wasted_work"] == 1.0


def test_what_is_too_long_for_the_engine_fails_and_costs_it_nothing() -> None:
    figures = played(workload(prompt={"fixed": 5000}))
    assert figures.whole["failed"] == figures.whole["sent"]
    assert sum(engine["prefilled_tokens"] or 0 for engine in figures.engines.values()) == 0


def test_bursts_come_in_their_time() -> None:
    bursts = workload(arrivals={"bursts": {"rate": 30.0, "on": 2.0, "off": 8.0}}, begins=5.0)
    wanted = scenario(bursts, duration=60.0, warmup=0.0)
    load = Load(1, 60.0, 0.0, wanted.workloads, {"chat": 30.0}, {})
    course = run(load, wanted.engines, wanted.configuration(wanted.variants()[0]))
    assert len(course.asked) > 200
    assert all(asked.sent >= 1005.0 and (asked.sent - 1005.0) % 10.0 <= 2.0 + 1e-9 for asked in course.asked)


def test_a_trace_is_replayed_as_it_is() -> None:
    lines = [TraceLine(at=float(at), prompt=100 + at, output=5) for at in range(20)]
    wanted = scenario(workload(arrivals={"trace": "t.jsonl"}), duration=60.0, warmup=0.0)
    load = Load(1, 60.0, 0.0, wanted.workloads, {}, {"chat": lines})
    course = run(load, wanted.engines, wanted.configuration(wanted.variants()[0]))
    assert [(asked.sent - 1000.0, asked.prompt.tokens, asked.output_tokens) for asked in course.asked] == [
        (float(at), 100 + at, 5) for at in range(20)
    ]


def test_conversations_find_what_was_said_before_in_the_cache() -> None:
    talk = workload(turns={"count": 6, "think": 1.0}, arrivals={"poisson": {"rate": 1.0}})
    one = played(talk, count=1)
    assert (one.whole["cache_hits"] or 0) > 0.6
    assert played(workload(), count=1).whole["cache_hits"] == 0


def test_all_variants_get_the_same_requests() -> None:
    variants = [
        {"name": "least", "gateway": {"admission": {"policy": "least_requests"}}},
        {"name": "turn", "gateway": {"admission": {"policy": "round_robin"}}},
        {"name": "small", "gateway": {"admission": {"max_queue": 0}}, "without": ["b"]},
    ]
    least, turn, small = play(scenario(workload(), workload("b"), compare=variants), {})
    assert least.whole["sent"] == turn.whole["sent"]
    assert least.tenants["tenant"]["wanted_tokens"] == turn.tenants["tenant"]["wanted_tokens"]
    assert set(small.workloads) == {"chat"}
    assert small.workloads["chat"]["sent"] == least.workloads["chat"]["sent"]


def test_the_gateway_is_the_one_that_was_configured() -> None:
    flood = workload(arrivals={"poisson": {"load": 3.0}})
    figures = played(flood, gateway={"admission": {"max_queue": 5}})
    assert (figures.whole["rejected"] or 0) > 0.5 * (figures.whole["sent"] or 0)
    # Full engines turn calls away at once: what is served never waited behind more than five others.
    assert (figures.whole["queue_p99"] or 0) < 1.0


def test_engines_that_run_out_of_blocks_still_answer() -> None:
    tight = {**SPEED, "kv_blocks": 100, "max_model_len": 1600}
    figures = played(workload(arrivals={"closed": {"callers": 40}}, output={"fixed": 300}), speed=tight)
    assert (figures.whole["preemptions"] or 0) > 0
    assert figures.whole["failed"] == 0


def test_jains_index() -> None:
    assert jain([2.0, 2.0, 2.0]) == pytest.approx(1.0)
    assert jain([3.0, 0.0, 0.0]) == pytest.approx(1 / 3)
    assert jain([]) is None


def test_what_one_does_not_want_goes_to_the_others_by_weight() -> None:
    wanted = {"modest": 10.0, "a": 1000.0, "b": 1000.0}
    shares = fair_shares(wanted, {"modest": 1.0, "a": 1.0, "b": 2.0}, 100.0)
    assert shares == pytest.approx({"modest": 10.0, "a": 30.0, "b": 60.0})
