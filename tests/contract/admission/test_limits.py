"""What every limit does, whatever it goes by."""

from __future__ import annotations

import random

import pytest

from gateway.admission import LIMITS, Limit
from gateway.fleet.load import Load
from tests.support.queueing import replica

MOST = 40


@pytest.fixture(params=sorted(LIMITS))
def limit(request: pytest.FixtureRequest) -> Limit:
    return LIMITS[request.param]()


@pytest.mark.parametrize("seed", range(5))
def test_a_replica_holds_at_least_one_call_and_at_most_what_is_configured(limit, seed) -> None:
    rng = random.Random(seed)
    member = replica(room=MOST)
    for sweep in range(500):
        member.in_flight = rng.randint(0, MOST)
        if rng.random() < 0.5:
            load = Load(running=float(rng.randint(0, 60)), waiting=float(rng.choice((0, 0, 1, 9, 500))))
            member.saw(load, sweep * 0.5)
        if rng.random() < 0.5:
            member.pace.first.take(rng.expovariate(1))
        member.tick(sweep * 0.5)
        assert 1 <= limit.look(member) <= MOST


def test_an_engine_of_which_nothing_is_known_gets_what_is_configured(limit) -> None:
    assert limit.look(replica(room=MOST)) == MOST


def test_an_engine_that_can_do_it_gets_it_all_whatever_was_before(limit) -> None:
    member = replica(room=MOST)
    now = 0.0
    for is_crowded in (True, False):
        for _ in range(200):
            now += 0.5
            held = member.in_flight = limit.look(member)
            running = min(held, 4) if is_crowded else held
            member.saw(Load(running=float(running), waiting=float(held - running)), now)
            member.tick(now)
    assert limit.look(member) == MOST
