"""Admission: first come first served, bounded, and nothing granted that nobody holds."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.admission import Admission, Bounds, Ended, Fifo, Lease, Ticket
from gateway.balancer import POLICIES
from gateway.core.errors import GatewayError, NoReplica, QueueFull, QueueTimeout
from gateway.fleet.endpoint import Condition, Endpoint, TcpAddress
from gateway.fleet.pool import Pool
from gateway.fleet.replica import Replica
from tests.support.calls import call
from tests.support.clock import Clock


def replica(id_: str = "r", *, room: int = 1, models: tuple[str, ...] = ("m",)) -> Replica:
    endpoint = Endpoint(
        id=id_,
        address=TcpAddress("127.0.0.1", 1),
        engine="vllm",
        models=tuple((model, model.upper()) for model in models),
        api_key=None,
        max_in_flight=room,
        idle_seconds=1,
    )
    return Replica(endpoint, Condition.READY)


def pool(*members: Replica, model: str = "m") -> Pool:
    made = Pool(model)
    made.members.update({member: model.upper() for member in members})
    return made


class Caller:
    """A waiter that notes what it was told."""

    def __init__(self) -> None:
        self.lease: Lease | None = None
        self.error: GatewayError | None = None
        self.told = 0

    def granted(self, lease: Lease) -> None:
        self.lease = lease
        self.told += 1

    def evicted(self, error: GatewayError) -> None:
        self.error = error
        self.told += 1


def admission(clock: Clock, *, max_queue: int = 10) -> Admission:
    return Admission(POLICIES["least_requests"], bounds=Bounds(max_queue), ordering=Fifo, clock=clock)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def leased(found: Lease | Ticket) -> Lease:
    assert isinstance(found, Lease)
    return found


def queued(found: Lease | Ticket) -> Ticket:
    assert isinstance(found, Ticket)
    return found


def test_room_is_given_at_once_under_the_replicas_own_name(clock) -> None:
    member = replica()
    lease = leased(admission(clock).admit(pool(member), call(), Caller(), 1e9))
    assert (lease.replica, lease.model, member.in_flight) == (member, "M", 1)
    lease.release(Ended.WELL)
    assert member.in_flight == 0


def test_a_lease_is_given_back_once(clock) -> None:
    member = replica(room=2)
    gate = admission(clock)
    first, second = (leased(gate.admit(pool(member), call(), Caller(), 1e9)) for _ in range(2))
    for _ in range(3):
        first.release(Ended.WELL)
    assert member.in_flight == 1
    assert repr(first) == "<Lease r released>"
    assert repr(second) == "<Lease r held>"


def test_those_who_wait_are_served_in_the_order_they_came(clock) -> None:
    members = pool(replica())
    gate = admission(clock)
    lease = leased(gate.admit(members, call(), Caller(), 1e9))
    callers = [Caller() for _ in range(4)]
    for caller in callers:
        queued(gate.admit(members, call(), caller, 1e9))
    assert gate.waiting("m") == 4
    for number, caller in enumerate(callers):
        assert caller.lease is None
        lease.release(Ended.WELL)
        assert caller.lease is not None
        assert gate.waiting("m") == 3 - number
        lease = caller.lease


def test_a_newcomer_does_not_overtake_who_waits(clock) -> None:
    """Room that no release told of: the next sweep gives it to the first, not to who comes in between."""
    member = replica()
    gate = admission(clock)
    lease = leased(gate.admit(pool(member), call(), Caller(), 1e9))
    first, newcomer = Caller(), Caller()
    members = pool(member)
    queued(gate.admit(members, call(), first, 1e9))
    members.members[replica("new")] = "M"
    queued(gate.admit(members, call(), newcomer, 1e9))
    gate.wake()
    assert first.lease is not None
    assert newcomer.lease is None
    lease.release(Ended.WELL)
    assert newcomer.lease is not None


def test_as_many_wait_as_may(clock) -> None:
    members = pool(replica())
    gate = admission(clock, max_queue=2)
    leased(gate.admit(members, call(), Caller(), 1e9))
    first = queued(gate.admit(members, call(), Caller(), 1e9))
    queued(gate.admit(members, call(), Caller(), 1e9))
    with pytest.raises(QueueFull) as refused:
        gate.admit(members, call(), Caller(), 1e9)
    assert refused.value.retry_after == 1
    first.cancel()
    queued(gate.admit(members, call(), Caller(), 1e9))


def test_no_queue_at_all_is_possible(clock) -> None:
    members = pool(replica())
    gate = admission(clock, max_queue=0)
    lease = leased(gate.admit(members, call(), Caller(), 1e9))
    with pytest.raises(QueueFull):
        gate.admit(members, call(), Caller(), 1e9)
    lease.release(Ended.WELL)
    leased(gate.admit(members, call(), Caller(), 1e9))


def test_a_cancelled_ticket_is_passed_over_and_told_nothing(clock) -> None:
    members = pool(replica())
    gate = admission(clock)
    lease = leased(gate.admit(members, call(), Caller(), 1e9))
    gone, next_ = Caller(), Caller()
    ticket = queued(gate.admit(members, call(), gone, 1e9))
    queued(gate.admit(members, call(), next_, 1e9))
    ticket.cancel()
    ticket.cancel()
    assert gate.waiting("m") == 1
    lease.release(Ended.WELL)
    assert gone.told == 0
    assert next_.lease is not None


def test_the_expired_are_evicted_by_wake(clock) -> None:
    members = pool(replica())
    gate = admission(clock)
    leased(gate.admit(members, call(), Caller(), 1e9))
    soon, later = Caller(), Caller()
    queued(gate.admit(members, call(), soon, clock() + 5))
    queued(gate.admit(members, call(), later, clock() + 6))
    clock.advance(4.9)
    gate.wake()
    assert soon.told == 0
    clock.advance(0.1)
    gate.wake()
    assert isinstance(soon.error, QueueTimeout)
    assert later.told == 0
    assert gate.waiting("m") == 1


def test_who_expired_does_not_get_the_slot_that_frees(clock) -> None:
    members = pool(replica())
    gate = admission(clock)
    lease = leased(gate.admit(members, call(), Caller(), 1e9))
    expired, waiting = Caller(), Caller()
    queued(gate.admit(members, call(), expired, clock() + 5))
    queued(gate.admit(members, call(), waiting, 1e9))
    clock.advance(6)
    lease.release(Ended.WELL)
    assert isinstance(expired.error, QueueTimeout)
    assert waiting.lease is not None


def test_who_waits_for_a_model_nobody_serves_any_more_is_evicted(clock) -> None:
    member = replica()
    gate = admission(clock)
    leased(gate.admit(pool(member), call(), Caller(), 1e9))
    members = pool(member)
    waiting = Caller()
    queued(gate.admit(members, call(), waiting, 1e9))
    member.condition = Condition.DOWN
    member.ready_in = 7
    gate.wake()
    assert isinstance(waiting.error, NoReplica)
    assert waiting.error.retry_after == 7


def test_nobody_serves_the_model(clock) -> None:
    with pytest.raises(NoReplica) as refused:
        admission(clock).admit(pool(), call(), Caller(), 1e9)
    assert refused.value.retry_after == 5


def test_models_that_are_forgotten_evict_their_queue(clock) -> None:
    gate = admission(clock)
    kept, gone = pool(replica("a"), model="kept"), pool(replica("b"), model="gone")
    callers = {}
    for members in (kept, gone):
        leased(gate.admit(members, call(), Caller(), 1e9))
        callers[members.model] = Caller()
        queued(gate.admit(members, call(), callers[members.model], 1e9))
    gate.forget({"kept"})
    assert isinstance(callers["gone"].error, NoReplica)
    assert callers["kept"].told == 0
    assert (gate.waiting("kept"), gate.waiting("gone")) == (1, 0)


def test_a_release_serves_every_model_of_the_replica(clock) -> None:
    shared = replica(models=("m", "n"))
    gate = admission(clock)
    lease = leased(gate.admit(pool(shared), call(), Caller(), 1e9))
    other = Caller()
    queued(gate.admit(pool(shared, model="n"), call(), other, 1e9))
    lease.release(Ended.WELL)
    assert other.lease is not None
    assert other.lease.model == "N"


def test_a_call_moves_to_another_replica_with_room_or_not_at_all(clock) -> None:
    first, second = replica("a"), replica("b")
    members = pool(first, second)
    gate = admission(clock)
    lease = leased(gate.admit(members, call(), Caller(), 1e9))
    moved = gate.move(members, call(), without=lease.replica)
    assert moved is not None
    assert {lease.replica, moved.replica} == {first, second}
    assert gate.move(members, call(), without=first) is None


def test_how_a_lease_ended_is_told_to_the_replica(clock) -> None:
    member = replica(room=10)
    gate = admission(clock)
    members = pool(member)

    def end(ended: Ended) -> None:
        leased(gate.admit(members, call(), Caller(), 1e9)).release(ended)

    end(Ended.FAILED)
    end(Ended.FAILED)
    end(Ended.WELL)
    end(Ended.FAILED)
    end(Ended.UNJUDGED)
    end(Ended.FAILED)
    assert not member.is_ejected(clock())
    end(Ended.FAILED)
    assert member.is_ejected(clock())
    assert not member.unreachable
    clock.advance(100)
    end(Ended.REFUSED)
    assert member.is_ejected(clock())
    assert member.unreachable


def test_a_waiter_may_give_its_lease_back_while_it_is_told(clock) -> None:
    """A client that is gone in the same step in which its call is granted."""

    class Gone(Caller):
        def granted(self, lease: Lease) -> None:
            super().granted(lease)
            lease.release(Ended.UNJUDGED)

    member = replica()
    members = pool(member)
    gate = admission(clock, max_queue=100)
    lease = leased(gate.admit(members, call(), Caller(), 1e9))
    crowd = [Gone() for _ in range(50)]
    for each in crowd:
        queued(gate.admit(members, call(), each, 1e9))
    last = Caller()
    queued(gate.admit(members, call(), last, 1e9))
    lease.release(Ended.WELL)
    assert [each.told for each in crowd] == [1] * 50
    assert last.lease is not None
    assert member.in_flight == 1


def test_cancelled_tickets_do_not_pile_up(clock) -> None:
    members = pool(replica())
    gate = admission(clock)
    leased(gate.admit(members, call(), Caller(), 1e9))
    stays = queued(gate.admit(members, call(), Caller(), 1e9))
    for _ in range(10_000):
        queued(gate.admit(members, call(), Caller(), 1e9)).cancel()
    assert len(gate._queues["m"].ordering._tickets) < 200
    assert stays.is_waiting
    assert gate.waiting("m") == 1


class Crowd(RuleBasedStateMachine):
    """Random calls, ends, leavings and engines that come and go, against plain counting."""

    MAX_QUEUE = 3

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.gate = admission(self.clock, max_queue=self.MAX_QUEUE)
        self.all = [replica("a", room=1), replica("b", room=2)]
        self.pool = pool(*self.all)
        self.held: list[Lease] = []
        self.waiting: list[tuple[Ticket, Caller, float]] = []

    def _collect(self) -> None:
        """Take note of who was told what, and that they were told in order."""
        still = []
        overtaken = False
        for ticket, caller, expires in self.waiting:
            if caller.told == 0:
                assert ticket.is_waiting
                overtaken = True
                still.append((ticket, caller, expires))
                continue
            assert caller.told == 1
            assert not ticket.is_waiting
            if caller.lease is not None:
                assert not overtaken, "somebody was served before one who came earlier"
                assert expires > self.clock()
                self.held.append(caller.lease)
        self.waiting = still

    @rule(patience=st.floats(0.1, 5))
    def call(self, patience: float) -> None:
        caller = Caller()
        expires = self.clock() + patience
        try:
            found = self.gate.admit(self.pool, call(), caller, expires)
        except QueueFull:
            assert len(self.waiting) == self.MAX_QUEUE
            return
        except NoReplica:
            assert not self.pool.candidates(self.clock())
            return
        if isinstance(found, Lease):
            assert not self.waiting
            self.held.append(found)
        else:
            self.waiting.append((found, caller, expires))

    @precondition(lambda self: self.held)
    @rule(data=st.data(), ended=st.sampled_from(Ended))
    def end(self, data: st.DataObject, ended: Ended) -> None:
        lease = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
        lease.release(ended)
        lease.release(ended)
        self._collect()

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def move(self, data: st.DataObject) -> None:
        number = data.draw(st.integers(0, len(self.held) - 1))
        moved = self.gate.move(self.pool, call(), without=self.held[number].replica)
        self.held.pop(number).release(Ended.FAILED)
        if moved is not None:
            self.held.append(moved)
        self._collect()

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        ticket, caller, _ = self.waiting.pop(data.draw(st.integers(0, len(self.waiting) - 1)))
        ticket.cancel()
        assert caller.told == 0

    @rule(seconds=st.floats(0, 3))
    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule()
    def sweep(self) -> None:
        self.gate.wake()
        self._collect()
        now = self.clock()
        assert all(expires > now for _, _, expires in self.waiting[:1])
        if self.waiting:
            assert not any(each.has_room() for each in self.pool.candidates(now))

    @rule(number=st.integers(0, 1), condition=st.sampled_from(Condition))
    def change(self, number: int, condition: Condition) -> None:
        self.all[number].condition = condition
        self.gate.wake()
        self._collect()

    @rule()
    def forget(self) -> None:
        self.gate.forget(())
        self._collect()
        assert not self.waiting

    @invariant()
    def counts_are_exact(self) -> None:
        for each in self.all:
            assert each.in_flight == sum(lease.replica is each for lease in self.held)
            assert each.in_flight <= each.endpoint.max_in_flight
        assert self.gate.waiting("m") == len(self.waiting) <= self.MAX_QUEUE

    def teardown(self) -> None:
        for ticket, _, _ in self.waiting:
            ticket.cancel()
        for lease in self.held:
            lease.release(Ended.UNJUDGED)
        assert [each.in_flight for each in self.all] == [0, 0]
        assert self.gate.waiting("m") == 0


TestCrowd = Crowd.TestCase
TestCrowd.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_a_slot_of_two_models_goes_to_whoever_waits_longest(clock: Clock) -> None:
    shared = replica(room=1, models=("one", "two"))
    one, two = pool(shared, model="one"), pool(shared, model="two")
    gate = admission(clock)
    held = gate.admit(one, call(), Caller(), clock() + 100)
    early, late = Caller(), Caller()
    gate.admit(two, call(), early, clock() + 50)
    gate.admit(one, call(), late, clock() + 60)
    assert isinstance(held, Lease)
    held.release(Ended.WELL)
    assert early.lease is not None
    assert late.lease is None
    early.lease.release(Ended.WELL)
    assert late.lease is not None
