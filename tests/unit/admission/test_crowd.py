"""Admission told random things in any order: nothing leaks, no slot is lost, nobody is told twice."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.admission import Admission, Bounds, Ended, Fair, Fifo, Lease, Ordering, Ticket
from gateway.balancer import POLICIES
from gateway.core.call import Principal, Tier
from gateway.core.errors import NoReplica, QueueFull, TooLate
from gateway.core.outcome import Usage
from gateway.fleet.endpoint import Condition
from tests.support.calls import call
from tests.support.clock import Clock
from tests.support.queueing import Caller, pool, replica


class Crowd(RuleBasedStateMachine):
    """Random calls, ends, leavings and engines that come and go, against plain counting."""

    MAX_QUEUE = 3
    ordering: Callable[[], Ordering] = Fifo

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.gate = Admission(
            POLICIES["least_requests"],
            bounds=Bounds(self.MAX_QUEUE),
            ordering=type(self).ordering,
            clock=self.clock,
        )
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
                if type(self).ordering is Fifo:
                    assert not overtaken, "somebody was served before one who came earlier"
                assert expires > self.clock()
                self.held.append(caller.lease)
        self.waiting = still

    @rule(
        patience=st.floats(0.1, 5),
        tenant=st.sampled_from("abc"),
        tier=st.sampled_from(Tier),
        weight=st.sampled_from([0.5, 1.0, 3.0]),
    )
    def call(self, patience: float, tenant: str, tier: Tier, weight: float) -> None:
        caller = Caller()
        expires = self.clock() + patience
        made = call(tier=tier, principal=Principal(tenant, "k", weight=weight))
        try:
            found = self.gate.admit(self.pool, made, caller, expires)
        except QueueFull:
            assert len(self.waiting) == self.MAX_QUEUE
            return
        except TooLate:
            assert self.waiting
            return
        except NoReplica:
            assert not self.pool.candidates(self.clock())
            return
        if isinstance(found, Lease):
            assert not self.waiting
            self.held.append(found)
        else:
            self.waiting.append((found, caller, expires))
            self._collect()

    @precondition(lambda self: self.held)
    @rule(data=st.data(), patience=st.floats(0.1, 5))
    def turn_away(self, data: st.DataObject, patience: float) -> None:
        """An engine turns a call away: back it goes, before all others of its kind."""
        lease = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
        caller, expires = Caller(), self.clock() + patience
        lease.release(Ended.BUSY)
        self._collect()
        try:
            ticket = self.gate.readmit(self.pool, lease.call, caller, expires)
        except QueueFull:
            assert len(self.waiting) == self.MAX_QUEUE
            return
        self.waiting.insert(0, (ticket, caller, expires))
        self._collect()

    @precondition(lambda self: self.held)
    @rule(
        data=st.data(),
        ended=st.sampled_from(Ended),
        usage=st.none() | st.builds(Usage, *[st.integers(0, 500)] * 3),
    )
    def end(self, data: st.DataObject, ended: Ended, usage: Usage | None) -> None:
        lease = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
        lease.release(ended, usage)
        lease.release(ended, usage)
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
        assert all(expires > now for _, _, expires in self.waiting)
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
        for queue in self.gate._queues.values():
            assert (queue._tokens, queue._bytes, queue._cost, queue._tiers) == (0, 0, 0, [0, 0, 0])
            for shares in queue.ordering._shares if isinstance(queue.ordering, Fair) else ():
                assert (shares.waiting, shares.cost, shares._order, shares._crowds) == (0, 0, [], [])
                assert all(tenant.running == 0 == tenant.waiting for tenant in shares._tenants.values())
        assert [each.in_flight for each in self.all] == [0, 0]
        assert self.gate.waiting("m") == 0


class FairCrowd(Crowd):
    ordering = Fair


TestCrowd = Crowd.TestCase
TestFairCrowd = FairCrowd.TestCase
TestCrowd.settings = TestFairCrowd.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
