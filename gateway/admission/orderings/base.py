"""The contract of an ordering."""

from __future__ import annotations

from typing import Protocol

from gateway.admission.ticket import Ticket
from gateway.core.call import Call


class Ordering(Protocol):
    """Which waiting ticket goes next. One for each queue; holds tickets that wait, and of the others nothing for long."""

    def join(self, ticket: Ticket, *, first: bool) -> None:
        """Take `ticket` in; `first`: before all that are like it, since it had its turn and was turned away."""
        ...

    def leave(self, ticket: Ticket) -> None:
        """`ticket` was given up: granted, evicted or cancelled. Its `is_waiting` is false already."""
        ...

    def next(self) -> Ticket | None:
        """Who is next, `None` when nobody waits. Asked again it says the same."""
        ...

    def last(self, call: Call) -> Ticket | None:
        """Who has to give way if the queue is full and `call` comes; `None` when `call` itself has to."""
        ...

    def ahead(self, call: Call) -> float:
        """Cost of what would go before `call` if it came now."""
        ...

    def stands_since(self, call: Call) -> float | None:
        """Since when somebody has always waited in the line that `call` would join, in monotonic seconds.

        `None` when nobody waits there, and from an ordering under which lines may stand.
        """
        ...

    def is_modest(self, call: Call, slots: int) -> bool:
        """Whether `call`'s tenant would hold no more than its share of `slots`, also if one more like it came.

        What is kept free is for such calls. An ordering that shares nothing calls all of them modest.
        """
        ...

    def charge(self, call: Call, cost: float) -> None:
        """`call` goes to an engine and is thought to cost so much. Told of those that did not wait, too."""
        ...

    def correct(self, call: Call, difference: float) -> None:
        """A call that was charged is over and did cost so much more than was thought. Told once for each charge."""
        ...
