"""Tickets by one thing each. One that is given up stays in its pile until it is passed or there are too many such.

Taking it out at once would take a search; as it is, each ticket costs what putting it in does, and a little more.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush

from gateway.admission.ticket import Ticket

SLACK = 16
"""Tickets given up that are not worth a look, besides as many as wait."""


class Earliest:
    """Tickets by when they expire, those that expire together by when they came."""

    __slots__ = ("_heap", "_waiting")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Ticket]] = []
        self._waiting = 0

    def __len__(self) -> int:
        return self._waiting

    def add(self, ticket: Ticket) -> None:
        """Put a ticket on the pile."""
        heappush(self._heap, (ticket.expires, ticket.number, ticket))
        self._waiting += 1

    def left(self) -> None:
        """One of the pile was given up."""
        self._waiting -= 1
        if not self._waiting:
            self._heap.clear()
        elif len(self._heap) > 2 * self._waiting + SLACK:
            self._heap = [each for each in self._heap if each[2].is_waiting]
            heapify(self._heap)

    def first(self) -> Ticket | None:
        """The one that expires first of those that wait."""
        heap = self._heap
        while heap:
            ticket = heap[0][2]
            if ticket.is_waiting:
                return ticket
            heappop(heap)
        return None


class Newest:
    """Tickets by when they came, the last first."""

    __slots__ = ("_stack", "_waiting")

    def __init__(self) -> None:
        self._stack: list[Ticket] = []
        self._waiting = 0

    def __len__(self) -> int:
        return self._waiting

    def add(self, ticket: Ticket) -> None:
        """Put a ticket on the pile."""
        self._stack.append(ticket)
        self._waiting += 1

    def left(self) -> None:
        """One of the pile was given up."""
        self._waiting -= 1
        if not self._waiting:
            self._stack.clear()
        elif len(self._stack) > 2 * self._waiting + SLACK:
            self._stack = [each for each in self._stack if each.is_waiting]

    def first(self) -> Ticket | None:
        """The one that came last of those that wait."""
        stack = self._stack
        while stack:
            if stack[-1].is_waiting:
                return stack[-1]
            stack.pop()
        return None
