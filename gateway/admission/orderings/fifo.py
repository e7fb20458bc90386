"""First come, first served, whoever it is."""

from __future__ import annotations

from collections import deque

from gateway.admission.orderings.base import Ordering
from gateway.admission.orderings.piles import SLACK
from gateway.admission.ticket import Ticket
from gateway.core.call import Call


class Fifo:
    """Knows neither tiers nor tenants."""

    __slots__ = ("_cost", "_tickets", "_waiting")

    def __init__(self) -> None:
        self._tickets: deque[Ticket] = deque()
        self._waiting = 0
        self._cost = 0.0

    def join(self, ticket: Ticket, *, first: bool) -> None:
        """See `Ordering.join`."""
        (self._tickets.appendleft if first else self._tickets.append)(ticket)
        self._waiting += 1
        self._cost += ticket.work.cost

    def leave(self, ticket: Ticket) -> None:
        """See `Ordering.leave`."""
        self._waiting -= 1
        self._cost = self._cost - ticket.work.cost if self._waiting else 0.0
        if len(self._tickets) > 2 * self._waiting + SLACK:
            self._tickets = deque(each for each in self._tickets if each.is_waiting)

    def next(self) -> Ticket | None:
        """See `Ordering.next`."""
        while self._tickets and not self._tickets[0].is_waiting:
            self._tickets.popleft()
        return self._tickets[0] if self._tickets else None

    def last(self, call: Call) -> Ticket | None:  # noqa: ARG002 - the protocol's shape
        """See `Ordering.last`: who was there keeps its place."""
        return None

    def ahead(self, call: Call) -> float:  # noqa: ARG002 - as above
        """See `Ordering.ahead`."""
        return self._cost

    def stands_since(self, call: Call) -> float | None:  # noqa: ARG002 - as above
        """See `Ordering.stands_since`: not asked of one who is served as it comes."""
        return None

    def is_modest(self, call: Call, slots: int) -> bool:  # noqa: ARG002 - as above
        """See `Ordering.is_modest`."""
        return True

    def charge(self, call: Call, cost: float) -> None:
        """See `Ordering.charge`."""

    def correct(self, call: Call, difference: float) -> None:
        """See `Ordering.correct`."""


_: type[Ordering] = Fifo
