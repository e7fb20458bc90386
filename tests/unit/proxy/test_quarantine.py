"""Who is blamed for the death of engines, and who is not."""

from __future__ import annotations

import pytest

from gateway.fleet.endpoint import Condition, Endpoint, TcpAddress
from gateway.fleet.replica import Replica
from gateway.proxy.quarantine import (
    DOUBT_SECONDS,
    MAX_KNOWN,
    MOST_SHARING,
    QUARANTINE_SECONDS,
    STRIKE_SECONDS,
    Quarantine,
    Standing,
)
from tests.support.clock import Clock

BODY = b'{"deadly":true}'


def replica(name: str) -> Replica:
    return Replica(Endpoint(name, TcpAddress("h", 1), "vllm", (), None, 4, 1.0), Condition.READY)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def quarantine(clock: Clock) -> Quarantine:
    return Quarantine(b"secret", clock=clock)


def kill(quarantine: Quarantine, *victims: Replica, body: bytes = BODY, tenant: str = "t") -> None:
    for victim in victims:
        quarantine.strike(tenant, body, victim)
        victim.unreachable = True


def standing(quarantine: Quarantine, body: bytes = BODY, tenant: str = "t") -> Standing:
    return quarantine.standing(tenant, body, request_id="r")


def test_two_deaths_are_too_many_and_one_is_not(quarantine, clock) -> None:
    kill(quarantine, replica("a"))
    assert standing(quarantine) is Standing.FREE
    kill(quarantine, replica("b"))
    assert standing(quarantine) is Standing.HELD
    assert quarantine.held() == 1
    clock.advance(QUARANTINE_SECONDS - 1)
    assert standing(quarantine) is Standing.HELD
    clock.advance(1)
    assert standing(quarantine) is Standing.FREE
    quarantine.sweep()
    assert not quarantine.has_suspects


def test_the_same_engine_may_die_twice(quarantine, clock) -> None:
    each = replica("a")
    kill(quarantine, each)
    clock.advance(30)
    kill(quarantine, each)
    assert standing(quarantine) is Standing.HELD


def test_many_connections_of_one_death_are_one_strike(quarantine, clock) -> None:
    each = replica("a")
    for _ in range(100):
        kill(quarantine, each)
        clock.advance(0.001)
    assert standing(quarantine) is Standing.FREE


def test_deaths_far_apart_are_accidents(quarantine, clock) -> None:
    kill(quarantine, replica("a"))
    clock.advance(STRIKE_SECONDS + 1)
    kill(quarantine, replica("b"))
    assert standing(quarantine) is Standing.FREE


def test_two_lost_engines_are_a_doubt_until_it_is_known_whether_they_died(quarantine, clock) -> None:
    engines = [replica("a"), replica("b")]
    for each in engines:
        quarantine.strike("t", BODY, each)
    assert standing(quarantine) is Standing.DOUBTED
    clock.advance(DOUBT_SECONDS)
    assert standing(quarantine) is Standing.FREE
    for each in engines:
        each.condition = Condition.STARTING
    assert standing(quarantine) is Standing.HELD


def test_an_engine_that_is_heard_of_did_not_die(quarantine, clock) -> None:
    engines = [replica("a"), replica("b")]
    for each in engines:
        quarantine.strike("t", BODY, each)
    clock.advance(0.1)
    engines[0].heard(clock())
    assert standing(quarantine) is Standing.FREE
    assert quarantine.is_suspect("t", BODY, engines[0])
    assert not quarantine.is_suspect("t", BODY, engines[1])


def test_who_is_answered_is_innocent(quarantine) -> None:
    kill(quarantine, replica("a"))
    quarantine.clear("t", BODY)
    kill(quarantine, replica("b"))
    assert standing(quarantine) is Standing.FREE


def test_who_was_answered_is_not_blamed_for_deaths_soon_after(quarantine, clock) -> None:
    """A hundred clients send one body: engines that die under it after it was answered died of something else."""
    kill(quarantine, replica("a"))
    quarantine.clear("t", BODY)
    clock.advance(STRIKE_SECONDS - 1)
    kill(quarantine, replica("b"), replica("c"))
    assert standing(quarantine) is Standing.FREE
    quarantine.clear("t", BODY)
    clock.advance(STRIKE_SECONDS)
    quarantine.sweep()
    assert not quarantine.has_suspects
    kill(quarantine, replica("d"), replica("e"))
    assert standing(quarantine) is Standing.HELD


def test_a_crowd_on_a_failing_node_is_not_blamed(quarantine) -> None:
    engines = [replica("a"), replica("b")]
    crowd = [b"%d" % number for number in range(MOST_SHARING + 1)]
    for each in engines:
        for body in crowd:
            quarantine.strike("t", body, each)
        each.unreachable = True
    assert {standing(quarantine, body) for body in crowd} == {Standing.FREE}
    third = replica("c")
    kill(quarantine, third, body=crowd[0])
    assert standing(quarantine, crowd[0]) is Standing.HELD  # nobody else was on all three
    assert standing(quarantine, crowd[1]) is Standing.FREE


def test_tenants_and_bodies_are_told_apart(quarantine) -> None:
    kill(quarantine, replica("a"), replica("b"))
    assert standing(quarantine, tenant="another") is Standing.FREE
    assert standing(quarantine, BODY + b" ") is Standing.FREE
    assert standing(quarantine, b"t\0" + BODY, tenant="") is Standing.FREE


def test_a_flood_of_losses_is_bounded(quarantine) -> None:
    each = replica("a")
    for number in range(MAX_KNOWN + 100):
        quarantine.strike("t", b"%d" % number, each)
    assert len(quarantine._suspects) == MAX_KNOWN
