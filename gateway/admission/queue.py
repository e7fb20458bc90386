"""The waiting of one pool: who is let in, who is put out, and what is known of how long it takes.

Who goes next is the ordering's to say. Everything here is synchronous.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypedDict

from gateway.admission.cost import Costs, Estimator, Work
from gateway.admission.lease import Ended
from gateway.admission.orderings import Ordering
from gateway.admission.orderings.piles import Earliest
from gateway.admission.rate import Rate
from gateway.admission.reserve import Reserve
from gateway.admission.ticket import Ticket, Waiter
from gateway.admission.watch import Watch
from gateway.core.call import Call, Tier
from gateway.core.errors import Displaced, GatewayError, QueueFull, QueueTimeout, TooLate
from gateway.core.outcome import Usage
from gateway.fleet.pool import Pool

SHORTEST_RETRY, LONGEST_RETRY = 1, 60
"""Bounds on `retry-after`, in seconds."""
STANDS_AFTER = 5.0
"""Seconds in which a line was never empty: it is no burst then that will be over soon."""
STANDING_PART = 0.1
"""Of the time that a call has for all of its answer: what it may wait in such a line."""
_UNDONE = frozenset({Ended.BUSY, Ended.REFUSED, Ended.FAILED})
"""Ends for which a tenant is not charged: it got nothing."""


class Retry(TypedDict):
    """When a refused call may be sent again, as its error says it."""

    retry_after: int
    retry_after_ms: int


@dataclass(frozen=True, slots=True)
class Bounds:
    """The most that may wait for one model. `tokens` are estimated ones, `bytes_` those of request bodies."""

    calls: int = 1024
    tokens: int | None = None
    bytes_: int | None = None


class Queue:
    """Tickets of one pool and what its calls cost."""

    __slots__ = (
        "_bounds",
        "_bytes",
        "_cost",
        "_estimator",
        "_expiring",
        "_modest",
        "_number",
        "_rate",
        "_tiers",
        "_tokens",
        "_watch",
        "free",
        "has_changed",
        "is_served",
        "ordering",
        "pool",
        "reserve",
        "seconds_per_token",
        "slots",
    )

    def __init__(
        self, pool: Pool, ordering: Ordering, bounds: Bounds, costs: Costs, watch: Watch, reserve: Reserve
    ) -> None:
        self.pool = pool
        self.reserve = reserve
        self.slots = 0
        """Of all replicas, as of the last sweep."""
        self.free: int | None = None
        """Of these, the ones that are free; `None`: not counted since the last sweep."""
        self.seconds_per_token = 0.0
        """Of answers, as of the last sweep; 0 when not known."""
        self.ordering = ordering
        self._bounds = bounds
        self._watch = watch
        self.is_served = self.has_changed = False
        """What `Admission` is at, with this queue."""
        self._estimator = Estimator(costs)
        self._rate = Rate()
        self._expiring = Earliest()
        self._number = 0
        self._tiers = [0 for _ in Tier]
        self._tokens = self._cost = 0.0
        self._bytes = 0
        self._modest: deque[Ticket] = deque()

    def __len__(self) -> int:
        return len(self._expiring)

    def __repr__(self) -> str:
        return f"<Queue {self.pool.model}: {len(self)} calls, {self._tokens:.0f} tokens, {self._bytes} bytes>"

    def by_tier(self) -> Mapping[Tier, int]:
        """How many wait, of each tier."""
        return {tier: self._tiers[tier] for tier in Tier}

    def join(
        self,
        call: Call,
        waiter: Waiter,
        expires: float,
        now: float,
        *,
        again: bool = False,
        is_modest: bool = False,
    ) -> Ticket:
        """Take a place; `again`: for a call that had its turn and was turned away by the engine.

        One that is modest may have what is kept free.

        Raises `TooLate` when its turn would come after `expires`, `QueueFull` when nobody is there to give way to it.
        """
        work = self._estimator.guess(call.envelope)
        predicted = None
        if not again:
            predicted = self._rate.seconds_for(self.ordering.ahead(call), now)
            if predicted is not None:
                self._judge(call, predicted, min(expires, self._latest_begin(call)) - now, now)
        while not self._has_room(call, work):
            self._make_room(call, now)
        self._number += 1
        ticket = Ticket(
            self._left,
            self._number,
            call,
            waiter,
            work,
            joined=now,
            expires=expires,
            predicted=None if predicted is None else now + predicted,
        )
        if not self._expiring:
            self._rate.began(now)
        self._expiring.add(ticket)
        self.ordering.join(ticket, first=again)
        if is_modest:
            self._modest.append(ticket)
        self._tokens += work.tokens
        self._cost += work.cost
        self._tiers[call.tier] += 1
        self._bytes += len(call.envelope.body)
        return ticket

    def next(self) -> Ticket | None:
        """Who is next, `None` when nobody waits."""
        return self.ordering.next()

    def next_modest(self) -> Ticket | None:
        """The one that came first of those that may have what is kept free, `None` when none waits."""
        modest = self._modest
        while modest:
            if modest[0].is_waiting:
                return modest[0]
            modest.popleft()
        return None

    def evict_expired(self, now: float) -> None:
        """Put those out whose time is over."""
        while (ticket := self._expiring.first()) is not None and ticket.expires <= now:
            self._expire(ticket, now)

    def evict_late(self, ticket: Ticket, now: float) -> bool:
        """Put `ticket` out if its answer would not be whole in time. Whether it was."""
        call = ticket.call
        if 2 * now < call.arrived + call.deadline or now < self._latest_begin(call):
            return False  # the first is the usual case, and cheap: half of its time is never taken off
        self._expire(ticket, now)
        return True

    def _expire(self, ticket: Ticket, now: float) -> None:
        self.evict(ticket, "expired", QueueTimeout("No engine became free in time.", **self.retry(now)))

    def evict(self, ticket: Ticket, reason: str, error: GatewayError) -> None:
        """Put one out."""
        self._watch.evicted(self.pool.model, ticket.call.tier, reason)
        ticket.cancel()
        ticket.waiter.evicted(error)

    def granted(self, ticket: Ticket, now: float) -> None:
        """A ticket's call is to have a slot: it gives up its place. To be charged for before."""
        predicted = None if ticket.predicted is None else ticket.predicted - ticket.joined
        self._watch.granted(self.pool.model, ticket.call.tier, now - ticket.joined, predicted)
        self._rate.granted(ticket.work.cost, now)
        ticket.cancel()

    def charge(self, call: Call, cost: float | None) -> float:
        """Charge `call` with `cost`, by default with what it is thought to cost now, and return that."""
        if cost is None:
            cost = self._estimator.guess(call.envelope).cost
        self.ordering.charge(call, cost)
        return cost

    def settle(self, call: Call, charged: float, ended: Ended, usage: Usage | None) -> None:
        """A call that was charged is over: charge it with what it did cost."""
        if usage is not None:
            cost = self._estimator.learn(call.envelope, usage)
        else:
            cost = 0.0 if ended in _UNDONE else charged
        self.ordering.correct(call, cost - charged)

    def retry(self, now: float) -> Retry:
        """When to try again: when half of what waits will have been served, as far as is known."""
        return _retry((self._rate.seconds_for(self._cost, now) or 0.0) / 2)

    def _latest_begin(self, call: Call) -> float:
        """When `call` has to go to an engine for all of its answer to come in time, as answers usually are.

        What that takes is believed up to half of its time: else it would never be tried how long it takes now.
        """
        takes = self.pool.usual_wait + self._estimator.answer_tokens(call.envelope) * self.seconds_per_token
        return call.deadline - min(takes, (call.deadline - call.arrived) / 2)

    def _judge(self, call: Call, predicted: float, left: float, now: float) -> None:
        """Refuse `call` at once if it would wait for nothing. `predicted` is how long, `left` how long it could.

        A line that has not been empty for long serves nobody sooner by being longer (Nichols and Jacobson, "Controlling
        Queue Delay", 2012): whoever comes then waits a tenth of its time at most.
        """
        if predicted > left:
            self._watch.rejected(self.pool.model, call.tier, "deadline")
            raise TooLate(
                "This request could not be answered in time. Try again later.", **_retry(predicted - left)
            )
        since = self.ordering.stands_since(call)
        if since is None or now - since < STANDS_AFTER:
            return
        patience = STANDING_PART * (call.deadline - call.arrived)
        if predicted > patience:
            self._watch.rejected(self.pool.model, call.tier, "standing")
            raise QueueFull(
                "More requests wait for this model than are answered. Try again later.",
                **_retry(predicted - patience),
            )

    def _has_room(self, call: Call, work: Work) -> bool:
        bounds = self._bounds
        if len(self._expiring) >= bounds.calls:
            return False
        if not self._expiring:
            return True
        return (bounds.tokens is None or self._tokens + work.tokens <= bounds.tokens) and (
            bounds.bytes_ is None or self._bytes + len(call.envelope.body) <= bounds.bytes_
        )

    def _make_room(self, call: Call, now: float) -> None:
        """Put out whoever has to give way to `call`. Raises `QueueFull` when nobody has to."""
        displaced = self.ordering.last(call)
        if displaced is None:
            self._watch.rejected(self.pool.model, call.tier, "full")
            raise QueueFull(
                "Too many requests are waiting for this model. Try again later.", **self.retry(now)
            )
        self.evict(
            displaced,
            "displaced",
            Displaced("Too many requests are waiting for this model. Try again later.", **self.retry(now)),
        )

    def _left(self, ticket: Ticket) -> None:
        """A ticket was given up."""
        self._expiring.left()
        self.ordering.leave(ticket)
        self._tokens -= ticket.work.tokens
        self._cost -= ticket.work.cost
        self._tiers[ticket.call.tier] -= 1
        if not self._expiring:
            self._modest.clear()
            self._tokens = self._cost = 0.0  # not what rounding has left of them
        self._bytes -= len(ticket.call.envelope.body)


def _retry(seconds: float) -> Retry:
    seconds = max(SHORTEST_RETRY, min(LONGEST_RETRY, seconds))
    return {"retry_after": math.ceil(seconds), "retry_after_ms": math.ceil(seconds * 1000)}
