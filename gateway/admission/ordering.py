"""Which waiting ticket goes next: first come, first served."""

from __future__ import annotations

from collections import deque
from typing import Protocol

from gateway.admission.lease import Lease
from gateway.core.call import Call
from gateway.core.errors import GatewayError
from gateway.fleet.pool import Pool


class Waiter(Protocol):
    """Who holds a ticket. Exactly one of the two is called, at most once, never after `Ticket.cancel`."""

    def granted(self, lease: Lease) -> None:
        """A slot is yours; you release it."""
        ...

    def evicted(self, error: GatewayError) -> None:
        """You will not get one."""
        ...


class Ticket:
    """A call's place in a queue. `expires` is in monotonic seconds."""

    __slots__ = ("_queue", "call", "expires", "waiter")

    def __init__(self, queue: Queue, call: Call, waiter: Waiter, expires: float) -> None:
        self._queue: Queue | None = queue
        self.call = call
        self.waiter = waiter
        self.expires = expires

    @property
    def is_waiting(self) -> bool:
        """Whether the place is still held."""
        return self._queue is not None

    def cancel(self) -> None:
        """Leave the queue. Does nothing when the place is already given up."""
        queue, self._queue = self._queue, None
        if queue is not None:
            queue.left()


class Queue:
    """The waiting of one pool. A cancelled ticket stays in place until it is passed or there are too many such."""

    __slots__ = ("_tickets", "_waiting", "pool")

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self._tickets: deque[Ticket] = deque()
        self._waiting = 0

    def __len__(self) -> int:
        return self._waiting

    def join(self, call: Call, waiter: Waiter, expires: float) -> Ticket:
        """Take the last place."""
        ticket = Ticket(self, call, waiter, expires)
        self._tickets.append(ticket)
        self._waiting += 1
        return ticket

    def rejoin(self, call: Call, waiter: Waiter, expires: float) -> Ticket:
        """Take the first place: for one that had its turn and was turned away."""
        ticket = Ticket(self, call, waiter, expires)
        self._tickets.appendleft(ticket)
        self._waiting += 1
        return ticket

    def first(self) -> Ticket | None:
        """Who is next, `None` when nobody waits."""
        while self._tickets and not self._tickets[0].is_waiting:
            self._tickets.popleft()
        return self._tickets[0] if self._tickets else None

    def left(self) -> None:
        """A ticket gave up its place."""
        self._waiting -= 1
        if len(self._tickets) > 2 * self._waiting + 64:
            self._tickets = deque(ticket for ticket in self._tickets if ticket.is_waiting)
