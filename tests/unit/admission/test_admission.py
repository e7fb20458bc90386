"""Admission: in order, bounded, in time, and nothing granted that nobody holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gateway.admission import Admission, Bounds, Ended, Fair, Fifo, Lease, Ordering, Ticket
from gateway.balancer import POLICIES
from gateway.core.call import Principal, Tier
from gateway.core.errors import (
    DeadlineExceeded,
    Displaced,
    NoReplica,
    QueueFull,
    QueueTimeout,
    TooLate,
)
from gateway.core.outcome import Usage
from gateway.fleet.endpoint import Condition
from tests.support.calls import call
from tests.support.clock import Clock
from tests.support.queueing import Caller, pool, replica


def admission(
    clock: Clock, *, max_queue: int = 10, ordering: Callable[[], Ordering] = Fifo, **options: Any
) -> Admission:
    return Admission(
        POLICIES["least_requests"], bounds=Bounds(max_queue), ordering=ordering, clock=clock, **options
    )


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


def test_the_newest_of_the_lowest_tier_gives_way_to_a_higher_one(clock: Clock) -> None:
    gate, members = admission(clock, max_queue=3, ordering=Fair), pool(replica())
    leased(gate.admit(members, call(), Caller(), 1e9))
    callers = {name: Caller() for name in ("old flex", "new flex", "default", "priority")}
    queued(gate.admit(members, call(tier=Tier.FLEX), callers["old flex"], 1e9))
    queued(gate.admit(members, call(tier=Tier.FLEX), callers["new flex"], 1e9))
    queued(gate.admit(members, call(tier=Tier.DEFAULT), callers["default"], 1e9))
    queued(gate.admit(members, call(tier=Tier.PRIORITY), callers["priority"], 1e9))
    error = callers["new flex"].error
    assert isinstance(error, Displaced)
    assert (error.status, error.retry, error.retry_after) == (503, True, 1)
    assert [name for name, caller in callers.items() if caller.told] == ["new flex"]
    with pytest.raises(QueueFull):
        gate.admit(members, call(tier=Tier.FLEX), Caller(), 1e9)


def test_the_newest_of_the_largest_crowd_gives_way_to_a_smaller_one(clock: Clock) -> None:
    gate, members = admission(clock, max_queue=4, ordering=Fair), pool(replica())
    leased(gate.admit(members, call(), Caller(), 1e9))
    flood = [Caller() for _ in range(4)]
    for caller in flood:
        queued(gate.admit(members, call("flood"), caller, 1e9))
    with pytest.raises(QueueFull):
        gate.admit(members, call("flood"), Caller(), 1e9)
    for _ in range(2):
        queued(gate.admit(members, call("small"), Caller(), 1e9))
    assert [caller.told for caller in flood] == [0, 0, 1, 1]
    with pytest.raises(QueueFull):
        gate.admit(members, call("small"), Caller(), 1e9)


def test_tokens_and_bytes_of_those_who_wait_are_bounded(clock: Clock) -> None:
    big = b"x" * 1000
    for bounds in (Bounds(10, tokens=700), Bounds(10, bytes_=2500)):
        gate = Admission(POLICIES["least_requests"], bounds=bounds, clock=clock)
        members = pool(replica())
        leased(gate.admit(members, call(), Caller(), 1e9))
        first, _ = (
            queued(gate.admit(members, call(body=big, most_tokens=50), Caller(), 1e9)) for _ in range(2)
        )
        with pytest.raises(QueueFull):
            gate.admit(members, call(body=big, most_tokens=150), Caller(), 1e9)
        first.cancel()
        queued(gate.admit(members, call(body=big, most_tokens=50), Caller(), 1e9))


def test_one_that_is_larger_than_all_may_be_waits_alone(clock: Clock) -> None:
    gate = Admission(POLICIES["least_requests"], bounds=Bounds(10, tokens=1, bytes_=1), clock=clock)
    members = pool(replica())
    leased(gate.admit(members, call(), Caller(), 1e9))
    queued(gate.admit(members, call(), Caller(), 1e9))
    with pytest.raises(QueueFull):
        gate.admit(members, call(), Caller(), 1e9)


def test_a_crowded_queue_serves_the_newest_first_until_it_is_not(clock: Clock) -> None:
    gate = admission(clock, max_queue=1000, ordering=lambda: Fair(crowded=40))
    members = pool(replica())
    lease = leased(gate.admit(members, call(), Caller(), 1e9))
    callers = [Caller() for _ in range(42)]
    served: list[int] = []
    for caller in callers:
        queued(gate.admit(members, call(), caller, 1e9))
    while len(served) < len(callers):
        lease.release(Ended.WELL)
        (number,) = (n for n, caller in enumerate(callers) if caller.lease and n not in served)
        served.append(number)
        found = callers[number].lease
        assert found is not None
        lease = found
    newest = list(range(41, 19, -1))
    assert served == newest + list(range(20))


def _busy(clock: Clock, **options: Any) -> tuple[Admission, Any, list[Caller]]:
    """A queue that is known to grant one a second."""
    gate, members = admission(clock, max_queue=100, ordering=Fair, **options), pool(replica())
    lease = leased(gate.admit(members, call("a"), Caller(), 1e9))
    waiting = [Caller() for _ in range(40)]
    for caller in waiting:
        queued(gate.admit(members, call("a"), caller, 1e9))
    for caller in waiting[:20]:
        clock.advance(1.0)
        lease.release(Ended.UNJUDGED)
        assert caller.lease is not None
        lease = caller.lease
    return gate, members, waiting


def test_who_could_not_be_begun_in_time_is_refused_at_once(clock: Clock) -> None:
    gate, members, _ = _busy(clock)
    with pytest.raises(TooLate) as refused:
        gate.admit(members, call("a"), Caller(), clock() + 12.0)
    assert (refused.value.status, refused.value.code, refused.value.retry) == (
        503,
        "deadline_unreachable",
        True,
    )
    assert refused.value.retry_after == 8
    queued(gate.admit(members, call("a"), Caller(), clock() + 21.0))


def test_the_prediction_knows_tenants_and_tiers(clock: Clock) -> None:
    gate, members, _ = _busy(clock)
    queued(gate.admit(members, call("b"), Caller(), clock() + 1.0))
    queued(gate.admit(members, call("a", tier=Tier.PRIORITY), Caller(), clock() + 1.0))
    with pytest.raises(TooLate):
        gate.admit(members, call("b", tier=Tier.FLEX), Caller(), clock() + 12.0)


def test_who_is_predicted_nothing_waits(clock: Clock) -> None:
    """As long as little was seen, or it was seen long ago."""
    gate, members = admission(clock, ordering=Fair), pool(replica())
    leased(gate.admit(members, call(), Caller(), 1e9))
    for _ in range(10):
        queued(gate.admit(members, call(), Caller(), clock() + 0.1))
    gate, members, _ = _busy(clock)
    clock.advance(61.0)
    queued(gate.admit(members, call("a"), Caller(), clock() + 0.1))


def test_the_predicted_wait_is_what_it_comes_to(clock: Clock) -> None:
    seen: list[tuple[float, float | None]] = []

    class Noted:
        def granted(self, model: str, tier: Tier, waited: float, predicted: float | None) -> None:
            seen.append((waited, predicted))

        def evicted(self, model: str, tier: Tier, reason: str) -> None: ...

        def rejected(self, model: str, tier: Tier, reason: str) -> None: ...

    gate, members, waiting = _busy(clock, watch=Noted())
    last = Caller()
    queued(gate.admit(members, call("a"), last, 1e9))
    lease = waiting[19].lease
    for caller in [*waiting[20:], last]:
        assert lease is not None
        clock.advance(1.0)
        lease.release(Ended.UNJUDGED)
        lease = caller.lease
    waited, predicted = seen[-1]
    assert waited == 21.0
    assert predicted == pytest.approx(waited, rel=0.1)


def test_who_comes_when_its_time_is_over_is_refused(clock: Clock) -> None:
    with pytest.raises(DeadlineExceeded):
        admission(clock).admit(pool(replica()), call(), Caller(), clock())


def test_a_call_waits_for_an_engine_that_starts(clock: Clock) -> None:
    member = replica()
    member.condition = Condition.STARTING
    members = pool(member)
    gate = admission(clock, starting_seconds=10.0)
    served, late = Caller(), Caller()
    queued(gate.admit(members, call(), late, clock() + 100))
    clock.advance(6)
    queued(gate.admit(members, call(), served, clock() + 100))
    gate.wake()
    assert (served.told, late.told) == (0, 0)
    clock.advance(5)
    gate.wake()
    assert isinstance(late.error, QueueTimeout)
    member.condition = Condition.READY
    gate.wake()
    assert served.lease is not None


def test_a_call_does_not_wait_for_an_engine_that_takes_longer_or_does_not_start(clock: Clock) -> None:
    member = replica()
    gate = admission(clock, starting_seconds=10.0)
    for condition, ready_in in (
        (Condition.DOWN, None),
        (Condition.DRAINING, None),
        (Condition.STARTING, 60.0),
    ):
        member.condition, member.ready_in = condition, ready_in
        with pytest.raises(NoReplica):
            gate.admit(pool(member), call(), Caller(), clock() + 30)


def test_tenants_that_are_gone_are_forgotten(clock: Clock) -> None:
    fair = Fair()
    gate, members = admission(clock, max_queue=10**6, ordering=lambda: fair), pool(replica(room=3))
    for number in range(20_000):
        tenant = f"t{number}"
        leased(gate.admit(members, call(tenant), Caller(), 1e9)).release(Ended.WELL, Usage(10, 10, 0))
    assert fair.remembered < 10_000


def test_a_tenants_weight_is_what_its_last_call_said(clock: Clock) -> None:
    gate, members = admission(clock, max_queue=100, ordering=Fair), pool(replica())
    lease = leased(gate.admit(members, call(), Caller(), 1e9))
    for weight in (1.0, 4.0):
        caller = Caller()
        made = call(principal=Principal("t", "k", weight=weight))
        queued(gate.admit(members, made, caller, 1e9))
        lease.release(Ended.WELL)
        assert caller.lease is not None
        lease = caller.lease
    shares = gate._queues["m"].ordering._shares[Tier.DEFAULT]
    assert shares._tenants["t"].weight == 4.0
    assert shares._weights == 0.0


def test_a_call_of_a_former_pool_puts_nobody_out(clock: Clock) -> None:
    former, gone = pool(), replica()
    members = pool(replica())
    gate = admission(clock)
    lease = leased(gate.admit(members, call(), Caller(), 1e9))
    waits = Caller()
    queued(gate.admit(members, call(), waits, 1e9))
    assert gate.move(former, call(), without=gone) is None
    gate.wake()
    lease.release(Ended.WELL)
    assert waits.lease is not None
