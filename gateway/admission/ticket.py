"""A call's place in a queue, and who holds it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from gateway.admission.cost import Work
from gateway.admission.lease import Lease
from gateway.core.call import Call
from gateway.core.errors import GatewayError


class Waiter(Protocol):
    """Who holds a ticket. Exactly one of the two is called, at most once, never after `Ticket.cancel`."""

    def granted(self, lease: Lease) -> None:
        """A slot is yours; you release it."""
        ...

    def evicted(self, error: GatewayError) -> None:
        """You will not get one."""
        ...


class Ticket:
    """A place in a queue. `joined`, `expires` and `predicted` are monotonic seconds.

    `number` is higher the later a ticket was made. `predicted` is when it was thought to be granted, `None` when nothing
    was known.
    """

    __slots__ = ("_leave", "call", "expires", "joined", "number", "predicted", "waiter", "work")

    def __init__(
        self,
        leave: Callable[[Ticket], None],
        number: int,
        call: Call,
        waiter: Waiter,
        work: Work,
        *,
        joined: float,
        expires: float,
        predicted: float | None = None,
    ) -> None:
        self._leave: Callable[[Ticket], None] | None = leave
        self.number = number
        self.call = call
        self.waiter = waiter
        self.work = work
        self.joined = joined
        self.expires = expires
        self.predicted = predicted

    def __repr__(self) -> str:
        return f"<Ticket {self.number} {'waiting' if self._leave else 'given up'}>"

    @property
    def is_waiting(self) -> bool:
        """Whether the place is still held."""
        return self._leave is not None

    def cancel(self) -> None:
        """Leave the queue. Does nothing when the place is already given up."""
        leave, self._leave = self._leave, None
        if leave is not None:
            leave(self)
