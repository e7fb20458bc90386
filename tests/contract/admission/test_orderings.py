"""What every ordering does, whoever it lets go first."""

from __future__ import annotations

import gc
import random
import sys
from collections.abc import Callable, Iterator
from math import log2
from types import FrameType
from typing import Any

import pytest

from gateway.admission import ORDERINGS, Ordering, Ticket
from gateway.admission.cost import Work
from gateway.core.call import Call, Principal, Tier
from tests.support.calls import call


@pytest.fixture(params=sorted(ORDERINGS))
def ordering(request: pytest.FixtureRequest) -> Ordering:
    return ORDERINGS[request.param]()


class Expiry(float):
    """A time that counts how often it is compared."""

    compared = 0

    def __lt__(self, other: object) -> bool:
        Expiry.compared += 1
        return float.__lt__(self, other)  # type: ignore[operator]

    def __eq__(self, other: object) -> bool:
        Expiry.compared += 1
        return float.__eq__(self, other)

    __hash__ = float.__hash__


class Line:
    """Tickets of an ordering, as a queue would make them."""

    def __init__(self, ordering: Ordering) -> None:
        self.ordering = ordering
        self.number = 0

    def join(self, made: Call, *, expires: float = 1e9, first: bool = False, cost: float = 10.0) -> Ticket:
        self.number += 1
        ticket = Ticket(
            self.ordering.leave,
            self.number,
            made,
            None,
            Work(cost, cost),
            joined=0.0,
            expires=expires,  # type: ignore[arg-type]
        )
        self.ordering.join(ticket, first=first)
        return ticket

    def take(self) -> Ticket | None:
        """Who is next, granted and over."""
        ticket = self.ordering.next()
        assert self.ordering.next() is ticket
        if ticket is not None:
            self.ordering.charge(ticket.call, ticket.work.cost)
            ticket.cancel()
            self.ordering.correct(ticket.call, 0.0)
        return ticket


@pytest.fixture
def line(ordering: Ordering) -> Line:
    return Line(ordering)


def some(rng: random.Random, tenants: int = 5) -> Call:
    tenant = f"t{rng.randrange(tenants)}"
    principal = Principal(tenant, "k", weight=rng.choice((0.5, 1.0, 2.0)))
    return call(tier=rng.choice(list(Tier)), principal=principal)


def test_nobody_is_next_where_nobody_waits(line) -> None:
    assert line.take() is None
    assert line.ordering.last(call()) is None
    assert line.ordering.ahead(call()) == 0


@pytest.mark.parametrize("seed", range(5))
def test_everybody_goes_once_or_leaves(line, seed) -> None:
    rng = random.Random(seed)
    waiting: list[Ticket] = []
    gone: set[int] = set()
    for _ in range(2000):
        chance = rng.random()
        if chance < 0.5:
            waiting.append(line.join(some(rng), expires=rng.random(), first=rng.random() < 0.1))
        elif chance < 0.7 and waiting:
            waiting.pop(rng.randrange(len(waiting))).cancel()
        elif chance < 0.75:
            displaced = line.ordering.last(some(rng))
            assert displaced is None or displaced in waiting
        else:
            ticket = line.take()
            assert (ticket is None) == (not waiting)
            if ticket is not None:
                assert ticket.number not in gone
                gone.add(ticket.number)
                waiting.remove(ticket)
    while waiting:
        ticket = line.take()
        assert ticket is not None
        waiting.remove(ticket)
    assert line.take() is None
    assert line.ordering.ahead(call()) == 0


def test_of_one_kind_the_first_goes_first(line) -> None:
    tickets = [line.join(call()) for _ in range(5)]
    assert [line.take() for _ in range(5)] == tickets


def test_who_was_turned_away_goes_before_its_like(line) -> None:
    usual = line.join(call())
    again = line.join(call(), first=True)
    assert [line.take(), line.take()] == [again, usual]


def test_a_turn_does_not_come_back(line) -> None:
    """Who had a turn, was turned away, and left while it waited again, is passed."""
    again = line.join(call(), first=True)
    usual = line.join(call("other"))
    again.cancel()
    assert line.take() is usual


def test_what_is_ahead_is_at_most_what_waits(line) -> None:
    rng = random.Random(1)
    for _ in range(100):
        line.join(some(rng))
        assert 0 <= line.ordering.ahead(some(rng)) <= line.number * 10.0 + 1e-6
    assert line.ordering.ahead(call(tier=Tier.FLEX, principal=Principal("t0", "k"))) > 0


def test_those_that_left_are_not_kept(line) -> None:
    stays = line.join(call("stays"))
    before = _tickets()
    for number in range(20_000):
        line.join(call(f"t{number % 50}", tier=Tier(number % 3))).cancel()
    assert _tickets() - before < 300
    assert line.take() is stays


def _tickets() -> int:
    gc.collect()
    return sum(isinstance(each, Ticket) for each in gc.get_objects())


def _lines_run(work: Callable[[], object]) -> int:
    """Lines of Python that `work` runs."""
    count = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def _effort(ordering: Ordering, waiting: int) -> tuple[float, float]:
    """Lines run and comparisons made for one more in a queue of so many: joined, served, and every other cancelled."""
    rng = random.Random(waiting)
    line = Line(ordering)
    for _ in range(waiting):
        line.join(some(rng, tenants=waiting // 4), expires=Expiry(rng.random()))
    rounds = 300

    def work() -> None:
        for _ in range(rounds):
            gone = line.join(some(rng, tenants=waiting // 4), expires=Expiry(rng.random()))
            line.join(some(rng, tenants=waiting // 4), expires=Expiry(rng.random()))
            line.ordering.ahead(gone.call)
            line.ordering.last(gone.call)
            gone.cancel()
            line.take()

    Expiry.compared = 0
    return _lines_run(work) / rounds, Expiry.compared / rounds


def _sizes() -> Iterator[int]:
    yield from (100, 1_000, 10_000)


@pytest.mark.parametrize("name", sorted(ORDERINGS))
def test_one_more_costs_hardly_more_in_a_longer_queue(name) -> None:
    efforts = {waiting: _effort(ORDERINGS[name](), waiting) for waiting in _sizes()}
    lines = {waiting: effort[0] for waiting, effort in efforts.items()}
    assert lines[1_000] <= 2 * lines[100]
    assert lines[10_000] <= 2 * lines[100]
    for waiting, (_, compared) in efforts.items():
        assert compared <= 12 * log2(waiting)
