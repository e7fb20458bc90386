"""What speaks against a replica besides failures: no progress, sleep, slowness, a recent return."""

from __future__ import annotations

from collections import Counter

import pytest

from gateway.fleet.catalog import Catalog
from gateway.fleet.endpoint import Condition, Sighting
from gateway.fleet.load import Load
from gateway.fleet.pool import PROBE_EVERY, Pool
from gateway.fleet.replica import STUCK_SECONDS, WARM_SECONDS, Replica
from tests.support.clock import Clock
from tests.unit.fleet.test_catalog import endpoint


def replica(id_: str = "r", *, room: int = 100) -> Replica:
    return Replica(endpoint(id_, max_in_flight=room), Condition.READY)


def pool(*members: Replica) -> Pool:
    made = Pool("m")
    made.members.update(dict.fromkeys(members, "m"))
    return made


def load(steps: float | None = 5.0, *, running: float = 1.0, prompt: float = 100.0) -> Load:
    return Load(running=running, waiting=0.0, steps=steps, prompt_tokens=prompt)


def live(each: Replica, seconds: float, *, awaited: bool = True, page: Load | None = None) -> float:
    """Let `seconds` pass with a sweep every half second and a page every second; the time after it."""
    now = 0.0
    while now < seconds:
        now += 0.5
        if page is not None and now == int(now):
            each.saw(page, now)
        each.is_awaited = awaited and now > STUCK_SECONDS
        each.tick(now)
    return now


# --- no progress


def test_one_whose_engine_makes_no_step_is_stuck() -> None:
    each = replica()
    each.tick(0.0)
    each.in_flight = 2
    live(each, STUCK_SECONDS, page=load())
    assert not each.is_stuck
    live(each, STUCK_SECONDS + 0.5, page=load())
    assert each.is_stuck
    assert pool(each, other := replica("other")).candidates(11.0) == [other]


@pytest.mark.parametrize(
    "pages", ["no pages", "no steps named", "steps go on", "nobody waits"], ids=lambda name: name
)
def test_what_is_no_proof_of_that(pages) -> None:
    each = replica()
    each.tick(0.0)
    each.in_flight = 2
    now = 0.0
    while now < 40.0:
        now += 0.5
        if pages != "no pages" and now == int(now):
            each.saw(load({"no steps named": None, "steps go on": now}.get(pages, 5.0)), now)
        each.is_awaited = pages != "nobody waits" and now > STUCK_SECONDS
        each.tick(now)
    assert not each.is_stuck


def test_pages_of_an_idle_time_count_for_nothing() -> None:
    each = replica()
    live(each, 30.0, awaited=False, page=load(running=0.0))
    each.in_flight = 1
    each.is_awaited = True
    each.tick(30.0 + STUCK_SECONDS + 1.0)
    assert not each.is_stuck


def test_it_is_tried_again_one_call_at_a_time_once_its_engine_makes_a_step() -> None:
    each, other = replica(), replica("other")
    both = pool(each, other)
    each.tick(0.0)
    each.in_flight = 1
    now = live(each, STUCK_SECONDS + 0.5, page=load())
    each.in_flight = 0
    each.saw(load(), now + 1.0)
    assert both.candidates(now + 100.0) == [other]
    each.tick(now + 2.0)
    each.saw(load(6.0), now + 2.0)
    assert both.candidates(now + 2.0) == [other]  # still left out for some seconds
    assert both.candidates(now + 20.0) == [each, other]
    each.in_flight = 1
    assert both.candidates(now + 20.0) == [other]


# --- asleep, another


def test_one_that_sleeps_is_not_ready_even_when_it_is_the_only_one_and_is_back_when_it_wakes() -> None:
    each = replica()
    asleep = Load(running=0.0, waiting=0.0, is_asleep=True)
    each.saw(asleep, 1.0)
    assert pool(each).candidates(1.0) == []
    assert not each.is_serving()
    each.saw(load(), 2.0)
    assert pool(each).candidates(2.0) == [each]


def test_one_that_is_another_model_now_gets_nothing() -> None:
    catalog = Catalog(clock=Clock())
    catalog.publish("test", [Sighting(endpoint("a"), Condition.READY)])
    catalog.publish("test", [Sighting(endpoint("a"), Condition.READY, is_another=True)])
    (each,) = catalog.replicas()
    assert not each.is_serving()
    assert catalog.resolve("m").candidates(0.0) == []


# --- back again


def test_one_that_came_back_gets_its_share_little_by_little() -> None:
    clock = Clock(0.0)
    catalog = Catalog(clock=clock)
    both = [Sighting(endpoint(name, max_in_flight=100), Condition.READY) for name in "ab"]
    catalog.publish("test", both)
    catalog.publish("test", [both[0], Sighting(endpoint("b", max_in_flight=100), Condition.DOWN)])
    catalog.publish("test", both)
    a, b = catalog.replicas()
    one = catalog.resolve("m")
    a.in_flight = 60
    taken = []
    for second in (0, 10, 20, 29):
        while b.in_flight < 99 and b in one.candidates(float(second)):
            b.in_flight += 1
        taken.append(b.in_flight)
    assert taken == [1, 20, 40, 58]
    b.tick(WARM_SECONDS)
    b.succeeded(WARM_SECONDS)
    b.in_flight = 99
    assert one.candidates(WARM_SECONDS) == [a, b]


def test_a_cold_one_takes_what_the_others_have_no_room_for() -> None:
    a, b = replica("a", room=2), replica("b", room=2)
    b.came_back(0.0)
    a.in_flight, b.in_flight = 2, 1
    assert pool(a, b).candidates(0.0) == [a, b]


def test_all_of_them_cold_is_as_none() -> None:
    a, b = replica("a"), replica("b")
    a.came_back(0.0)
    b.came_back(0.0)
    a.in_flight = 50
    assert pool(a, b).candidates(0.0) == [a, b]


@pytest.mark.parametrize("how", ["ready again", "reached again", "counts anew"])
def test_a_new_start_of_an_engine_is_noticed(how) -> None:
    clock = Clock(0.0)
    catalog = Catalog(clock=clock)
    catalog.publish("test", [Sighting(endpoint("a"), Condition.READY)])
    (each,) = catalog.replicas()
    each.saw(load(500.0, prompt=900.0), 0.0)
    before = each.epoch
    if how == "ready again":
        catalog.publish("test", [Sighting(endpoint("a"), Condition.DOWN)])
        catalog.publish("test", [Sighting(endpoint("a"), Condition.READY)])
    elif how == "reached again":
        each.refused(0.0)
        each.succeeded(2.0)
    else:
        each.saw(load(3.0, prompt=10.0), 1.0)
    assert each.epoch == before + 1
    assert each.is_warming


# --- slow


def paced(each: Replica, seconds: float, count: int = 20) -> Replica:
    for _ in range(count):
        each.pace.token.take(seconds)
    return each


def slow_in(one: Pool) -> list[str]:
    one.tick()
    return [each.endpoint.id for each in one.members if one.is_slow(each)]


def test_one_that_takes_ten_times_as_long_is_slow_and_all_of_them_are_not() -> None:
    assert slow_in(pool(*[paced(replica(str(n)), 0.02) for n in range(3)], paced(replica("s"), 0.2))) == ["s"]
    assert slow_in(pool(*[paced(replica(str(n)), 0.2) for n in range(4)])) == []
    assert slow_in(pool(paced(replica("only"), 2.0))) == []


def test_at_most_half_of_a_pool_is_slow() -> None:
    members = [paced(replica(str(n)), seconds) for n, seconds in enumerate((0.01, 0.01, 0.5, 0.6))]
    assert slow_in(pool(*members)) == ["2", "3"]
    assert len(slow_in(pool(*[paced(replica(str(n)), 10.0**n) for n in range(5)]))) <= 2


def test_a_few_values_or_a_few_milliseconds_say_nothing() -> None:
    assert slow_in(pool(paced(replica("a"), 0.02), paced(replica("b"), 0.4, count=2))) == []
    assert slow_in(pool(paced(replica("a"), 0.0001), paced(replica("b"), 0.004))) == []


def test_a_slow_one_gets_one_call_in_twenty_and_is_full_again_when_it_is_quick() -> None:
    members = [paced(replica(str(n)), 0.02) for n in range(3)]
    slow = paced(replica("slow"), 0.2)
    one = pool(*members, slow)
    one.tick()
    given: Counter[str] = Counter()
    for turn in range(420):
        candidates = one.candidates(1.0)
        chosen = candidates[turn % len(candidates)]
        chosen.dispatches += 1
        given[chosen.endpoint.id] += 1
    assert given["slow"] == 420 // (PROBE_EVERY + 1)
    paced(slow, 0.02)
    one.tick()
    assert one.candidates(1.0) == [*members, slow]


def test_when_the_others_are_full_a_slow_one_is_better_than_waiting() -> None:
    quick, slow = paced(replica("quick", room=1), 0.02), paced(replica("slow"), 0.2)
    one = pool(quick, slow)
    one.tick()
    assert one.candidates(0.0) == [quick]
    quick.in_flight = 1
    assert one.candidates(0.0) == [quick, slow]
