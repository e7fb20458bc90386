"""Who is told at once that it comes too late, and when it may come again."""

from __future__ import annotations

import pytest

from gateway.admission import Admission, Ended, Fair, Fifo, Lease, Ticket
from gateway.admission.queue import STANDS_AFTER
from gateway.admission.rate import KNOWN_AFTER
from gateway.balancer import POLICIES
from gateway.core.call import Call
from gateway.core.errors import QueueFull, QueueTimeout, TooLate
from gateway.core.outcome import Usage
from tests.support.calls import call
from tests.support.clock import Clock
from tests.support.queueing import Caller, pool, replica

ANSWER = 100
"""Tokens, a second a call, one call after the other."""


class Line:
    """One engine that works on one call a second, known to, before which somebody always waits."""

    def __init__(self, ordering: type[Fair | Fifo] = Fair) -> None:
        self.clock = Clock()
        self.replica = replica(room=1)
        self.pool = pool(self.replica)
        self.gate = Admission(POLICIES["least_requests"], clock=self.clock, ordering=ordering)
        self.running = self.ask(1000.0)
        self.callers: list[Caller] = []
        for _ in range(KNOWN_AFTER + 40):
            self.wait(1000.0)
        self.run(KNOWN_AFTER)

    def call(self, seconds: float, tenant: str) -> Call:
        now = self.clock()
        return call(tenant, arrived=now, deadline=now + seconds)

    def ask(self, seconds: float, tenant: str = "t", caller: Caller | None = None) -> Lease | Ticket:
        made = self.call(seconds, tenant)
        return self.gate.admit(self.pool, made, caller or Caller(), self.clock() + seconds)

    def wait(self, seconds: float, tenant: str = "t") -> Caller:
        caller = Caller()
        assert isinstance(self.ask(seconds, tenant, caller), Ticket)
        self.callers.append(caller)
        return caller

    def run(self, calls: int) -> None:
        """So many are answered, in as many seconds."""
        for _ in range(calls):
            self.clock.advance(1.0)
            assert isinstance(self.running, Lease)
            self.running.release(Ended.WELL, Usage(10, ANSWER, 0))
            [caller] = [caller for caller in self.callers if caller.lease]
            self.callers.remove(caller)
            assert caller.lease is not None
            self.running = caller.lease

    @property
    def length(self) -> int:
        return len(self.callers)


@pytest.fixture
def line() -> Line:
    return Line()


def test_in_a_line_that_stands_a_call_waits_for_a_tenth_of_its_time_at_most(line: Line) -> None:
    while line.length > 5:
        line.run(1)
    line.wait(100.0)
    with pytest.raises(QueueFull) as refused:
        line.ask(40.0)
    assert refused.value.code == "overloaded"
    assert refused.value.retry_after == 2  # six wait, four would be in time
    assert refused.value.retry_after_ms == pytest.approx(2000, rel=0.15)


def test_a_burst_may_wait_for_as_long_as_it_has_time(line: Line) -> None:
    for _ in range(5):
        line.wait(40.0, "other")
    line.clock.advance(STANDS_AFTER - 0.5)
    line.wait(40.0, "other")
    line.clock.advance(1.0)
    with pytest.raises(QueueFull):
        line.ask(40.0, "other")


def test_another_tenants_line_is_none_of_ones_own(line: Line) -> None:
    line.wait(8.0, "other")


def test_a_call_whose_whole_answer_would_come_too_late_is_refused_at_once(line: Line) -> None:
    for _ in range(2):
        line.wait(1000.0, "other")
    line.wait(5.0, "other")
    for _ in range(10):
        line.replica.pace.token.take(0.02)
    line.gate.wake()
    with pytest.raises(TooLate) as refused:  # several seconds until its turn, two for the answer
        line.ask(5.0, "other")
    assert refused.value.retry_after_ms is not None


def test_what_came_to_its_turn_too_late_for_its_answer_is_not_begun(line: Line) -> None:
    late = line.wait(4.0, "other")
    for _ in range(10):
        line.replica.pace.token.take(0.05)
    line.gate.wake()
    line.clock.advance(1.0)
    line.run(2)
    assert late.lease is None
    assert late.error is not None
    assert isinstance(late.error, QueueTimeout)


def test_first_come_first_served_lets_lines_stand() -> None:
    line = Line(Fifo)
    line.wait(100.0)
