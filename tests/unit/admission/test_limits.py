"""An adaptive limit finds what an engine can run, and follows it."""

from __future__ import annotations

import pytest

from gateway.admission import LIMITS, Admission, Ended, Lease
from gateway.admission.limits import Adaptive, adaptive
from gateway.balancer import POLICIES
from gateway.fleet.load import Load
from gateway.fleet.replica import Replica
from tests.support.calls import call
from tests.support.clock import Clock
from tests.support.queueing import Caller, pool, replica

SWEEP = 0.5


class Engine:
    """Runs `runs` calls at once, tells its load, and has callers enough."""

    def __init__(self, runs: int, *, most: int = 64, tells: bool = True) -> None:
        self.runs = runs
        self.tells = tells
        self.now = 0.0
        self.limit = Adaptive()
        self.replica: Replica = replica(room=most)
        self.held: list[int] = []

    def sweep(self, times: int) -> None:
        member = self.replica
        for _ in range(times):
            self.now += SWEEP
            member.in_flight = member.ceiling
            running = min(member.in_flight, self.runs)
            if self.tells:
                member.saw(Load(running=float(running), waiting=float(member.in_flight - running)), self.now)
            else:
                member.pace.first.take(0.2 * max(1.0, member.in_flight / self.runs) ** 2)
            member.tick(self.now)
            member.hold_to(self.limit.look(member))
            self.held.append(member.ceiling)


def check_it_settles_a_little_above_what_the_engine_runs() -> None:
    for runs in (1, 5, 16, 48):
        engine = Engine(runs)
        engine.sweep(200)
        settled = engine.held[100:]
        assert runs <= sum(settled) / len(settled) <= 1.1 * runs + 2
        assert min(settled) >= 0.7 * runs


def check_it_follows() -> None:
    engine = Engine(8)
    engine.sweep(100)
    engine.runs = 32
    engine.sweep(100)
    assert engine.held[-1] >= 32
    engine.runs = 8
    engine.sweep(100)
    assert engine.held[-1] <= 10


def check_a_burst_is_no_queue() -> None:
    """What waits on one page and not on the next."""
    engine = Engine(64)
    engine.sweep(10)
    member = engine.replica
    for number in range(20):
        engine.now += SWEEP
        member.saw(Load(running=32.0, waiting=32.0 * (number % 2)), engine.now)
        member.hold_to(engine.limit.look(member))
    assert member.ceiling == 64


@pytest.mark.parametrize(
    "check",
    [check_it_settles_a_little_above_what_the_engine_runs, check_it_follows, check_a_burst_is_no_queue],
)
def test_it_holds(check) -> None:
    check()


def test_a_limit_that_does_not_back_off_or_is_hasty_is_noticed(monkeypatch) -> None:
    monkeypatch.setattr(adaptive, "SURPLUS", 5.0)
    with pytest.raises(AssertionError):
        check_it_settles_a_little_above_what_the_engine_runs()
    monkeypatch.undo()
    monkeypatch.setattr(adaptive, "INCREASE", 0.0)
    monkeypatch.setattr(Adaptive, "_grow", lambda self, replica, most: None)
    with pytest.raises(AssertionError):
        check_it_follows()
    monkeypatch.undo()
    monkeypatch.setattr(adaptive, "PATIENCE", 1)
    with pytest.raises(AssertionError):
        check_a_burst_is_no_queue()


def test_without_a_word_of_the_engine_the_first_token_tells_and_takes_a_part() -> None:
    engine = Engine(24, tells=False)
    engine.sweep(5)
    engine.replica.pace.first.count = 10
    engine.limit._best = 0.2
    engine.sweep(40)
    assert 16 <= engine.held[-1] <= 48
    engine = Engine(1, tells=False)
    engine.limit._best = 0.2
    engine.sweep(60)
    assert engine.held[-1] == 16


def test_an_old_word_is_none() -> None:
    engine = Engine(8)
    engine.sweep(100)
    before = engine.held[-1]
    for _ in range(40):
        engine.now += SWEEP
        engine.replica.tick(engine.now)
        engine.replica.hold_to(engine.limit.look(engine.replica))
    assert engine.replica.ceiling == before


def test_admission_holds_replicas_to_their_limits_and_forgets_those_that_are_gone() -> None:
    clock = Clock(0.0)
    member, gone = replica("a", room=10), replica("b", room=10)
    members = pool(member, gone)
    gate = Admission(POLICIES["least_requests"], clock=clock, limit=LIMITS["adaptive"])
    leases = [gate.admit(members, call(), Caller(), 1e9) for _ in range(20)]
    assert all(isinstance(lease, Lease) for lease in leases)
    members.members.pop(gone)
    for _ in range(20):
        clock.advance(SWEEP)
        member.saw(Load(running=4.0, waiting=6.0), clock())
        gate.wake()
    assert list(gate._limits) == [member]
    assert member.limit < 10
    ceiling = member.ceiling
    for lease in leases:
        assert isinstance(lease, Lease)
        lease.release(Ended.WELL)
    assert member.limit == ceiling
