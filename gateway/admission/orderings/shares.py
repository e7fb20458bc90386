"""One tier's waiting, shared between tenants in proportion to their weights, in what their calls cost.

The virtual token counter (Sheng et al., OSDI 2024): each tenant has a counter of what it was given, divided by its
weight, and the one with the least goes next. It is charged with an estimate when a call goes to an engine and corrected
when the call is over. A tenant that comes back is lifted to the least counter of those who wait, or to that of whoever
was served last when nobody waits: time in which it asked for nothing earns it nothing.

Counters change under the heap that holds them, which is put right when somebody looks. One that rose is found too high
up and sinks; one that fell is put in again, and its old entry passed.
"""

from __future__ import annotations

from collections import deque
from heapq import heapify, heappop, heappush, heapreplace

from gateway.admission.orderings.piles import Earliest, Newest
from gateway.admission.ticket import Ticket
from gateway.core.call import Principal

SLACK = 64
"""Entries of a heap that are passed, and tenants that may be forgotten, besides as many as count."""
MOST_IDLE_TENANTS = 4096
"""Tenants without a call that are remembered for what they owe."""


class Tenant:
    """What one tenant was given, and its tickets that wait."""

    __slots__ = (
        "active",
        "cost",
        "counter",
        "earliest",
        "entry",
        "key",
        "mark",
        "marked",
        "newest",
        "running",
        "since",
        "waiting",
        "weight",
    )

    def __init__(self, counter: float) -> None:
        self.counter = counter
        self.key = counter
        """Its counter as of its entry in the order."""
        self.entry = 0
        """The number of that entry; 0: there is none."""
        self.mark = 0.0
        """Its crowd as of its entry among the crowds."""
        self.marked = 0
        """The number of that one."""
        self.running = 0
        self.waiting = 0
        self.since = 0.0
        """When it began to have one that waits: monotonic seconds."""
        self.active = 0.0
        """Its weight, as it counts among the active ones: while it has a call."""
        self.weight = 1.0
        self.cost = 0.0
        """Of what waits."""
        self.earliest = Earliest()
        self.newest = Newest()

    def crowd(self) -> float:
        """Tickets that wait, for its weight."""
        return self.waiting / self.weight


class Shares:
    """The tenants of one tier of one queue."""

    __slots__ = (
        "_active",
        "_backlogged",
        "_crowds",
        "_first",
        "_floor",
        "_newest",
        "_number",
        "_order",
        "_tenants",
        "_tidied_at",
        "_weights",
        "cost",
        "waiting",
    )

    def __init__(self) -> None:
        self._tenants: dict[str, Tenant] = {}
        self._order: list[tuple[float, int, Tenant]] = []
        self._crowds: list[tuple[float, int, Tenant]] = []
        self._first: deque[Ticket] = deque()
        self._newest = Newest()
        self._floor = 0.0
        self._active = 0.0
        self._backlogged = 0
        self._weights = 0.0
        self._number = 0
        self._tidied_at = SLACK
        self.waiting = 0
        self.cost = 0.0
        """Of all that wait."""

    @property
    def remembered(self) -> int:
        """Tenants of which something is kept."""
        return len(self._tenants)

    def join(self, ticket: Ticket, *, first: bool) -> None:
        """Take a ticket in."""
        tenant = self._tenant(ticket.call.principal)
        if not tenant.waiting:
            tenant.since = ticket.joined
            self._lift(tenant)
            self._backlogged += 1
            self._weights += tenant.weight
            self._enter(tenant)
        if first:
            self._first.append(ticket)
        tenant.earliest.add(ticket)
        tenant.newest.add(ticket)
        self._newest.add(ticket)
        tenant.waiting += 1
        self.waiting += 1
        if not tenant.active:
            self._activate(tenant)
        tenant.cost += ticket.work.cost
        self.cost += ticket.work.cost
        if tenant.crowd() > tenant.mark:
            self._mark(tenant)

    def leave(self, ticket: Ticket) -> None:
        """A ticket was given up."""
        tenant = self._tenants[ticket.call.principal.tenant]
        tenant.earliest.left()
        tenant.newest.left()
        self._newest.left()
        tenant.waiting -= 1
        self.waiting -= 1
        tenant.cost -= ticket.work.cost
        self.cost -= ticket.work.cost
        if not tenant.waiting:
            tenant.cost = tenant.mark = 0.0
            tenant.entry = tenant.marked = 0
            self._backlogged -= 1
            self._weights -= tenant.weight
            if not tenant.running:
                self._deactivate(tenant)
        if not self.waiting:
            self.cost = self._weights = 0.0
            self._order.clear()
            self._crowds.clear()
            self._first.clear()

    def next(self, *, newest_first: bool) -> Ticket | None:
        """The next one: of the tenant that was given least, the one that expires first or the one that came last."""
        while self._first:
            if self._first[0].is_waiting:
                return self._first[0]
            self._first.popleft()
        tenant = self._least()
        if tenant is None:
            return None
        return tenant.newest.first() if newest_first else tenant.earliest.first()

    def newest(self) -> Ticket | None:
        """The ticket that came last."""
        return self._newest.first()

    def newest_of_a_larger_crowd(self, principal: Principal) -> Ticket | None:
        """The last ticket of the tenant with most of them, if those are more than `principal` has with one more."""
        crowds = self._crowds
        while crowds:
            _, number, tenant = crowds[0]
            crowd = tenant.crowd()
            if number != tenant.marked:
                heappop(crowds)
            elif crowd < tenant.mark:
                tenant.mark, tenant.marked = crowd, self._next_number()
                heapreplace(crowds, (-crowd, tenant.marked, tenant))
            else:
                own = self._tenants.get(principal.tenant)
                wanted = ((own.waiting if own else 0) + 1) / principal.weight
                return tenant.newest.first() if own is not tenant and crowd > wanted else None
        return None

    def ahead(self, principal: Principal, *, newest_first: bool) -> float:
        """Cost of what would go before a call of `principal`.

        While its own are served the others get their shares of the same time, and more if it was given more than they.
        """
        tenant = self._tenants.get(principal.tenant)
        if tenant is None:
            return 0.0
        own = 0.0 if newest_first else tenant.cost
        least = self._least()
        others = self.cost - tenant.cost
        if least is None or others <= 0:
            return own
        weights = self._weights - (tenant.weight if tenant.waiting else 0.0)
        debt = max(0.0, tenant.counter - least.counter)
        return own + min(others, (debt + own / tenant.weight) * weights)

    def stands_since(self, principal: Principal) -> float | None:
        """Since when the tenant has always had a ticket that waits."""
        tenant = self._tenants.get(principal.tenant)
        return tenant.since if tenant is not None and tenant.waiting else None

    def is_modest(self, principal: Principal, slots: int) -> bool:
        """Whether a tenant with one call more had no more than its share of `slots`, with one more like it."""
        tenant = self._tenants.get(principal.tenant)
        weight = principal.weight
        held, active = 0, 0.0
        if tenant is not None:
            held, active = tenant.running + tenant.waiting, tenant.active
        return (held + 1) * (self._active - active + 2 * weight) <= slots * weight

    def charge(self, principal: Principal, cost: float) -> None:
        """A call goes to an engine."""
        tenant = self._tenants.get(principal.tenant) or self._tenant(principal)
        weight = principal.weight
        counter = tenant.counter
        if not tenant.waiting:
            tenant.weight = weight
            if self.waiting:
                self._lift(tenant)
                counter = tenant.counter
            elif counter < self._floor:
                counter = self._floor
        tenant.running += 1
        if not tenant.active:
            self._activate(tenant)
        tenant.counter = self._floor = counter + cost / weight

    def correct(self, principal: Principal, difference: float) -> None:
        """A call is over."""
        tenant = self._tenants[principal.tenant]
        tenant.running -= 1
        if not tenant.running and not tenant.waiting:
            self._deactivate(tenant)
        tenant.counter += difference / principal.weight
        if tenant.waiting and tenant.counter < tenant.key:
            self._enter(tenant)

    def _activate(self, tenant: Tenant) -> None:
        tenant.active = tenant.weight
        self._active += tenant.active

    def _deactivate(self, tenant: Tenant) -> None:
        self._active -= tenant.active
        tenant.active = 0.0

    def _tenant(self, principal: Principal) -> Tenant:
        tenant = self._tenants.get(principal.tenant)
        if tenant is None:
            if len(self._tenants) > self._tidied_at:
                self._tidy()
            tenant = self._tenants[principal.tenant] = Tenant(self._floor)
        if not tenant.waiting:
            tenant.weight = principal.weight
        return tenant

    def _lift(self, tenant: Tenant) -> None:
        least = self._least()
        floor = self._floor if least is None else least.counter
        tenant.counter = max(tenant.counter, floor)

    def _least(self) -> Tenant | None:
        order = self._order
        while order:
            key, number, tenant = order[0]
            if number != tenant.entry:
                heappop(order)
            elif tenant.counter > key:
                tenant.key, tenant.entry = tenant.counter, self._next_number()
                heapreplace(order, (tenant.key, tenant.entry, tenant))
            else:
                return tenant
        return None

    def _enter(self, tenant: Tenant) -> None:
        tenant.key, tenant.entry = tenant.counter, self._next_number()
        heappush(self._order, (tenant.key, tenant.entry, tenant))
        if len(self._order) > 2 * self._backlogged + SLACK:
            self._order = [each for each in self._order if each[1] == each[2].entry]
            heapify(self._order)

    def _mark(self, tenant: Tenant) -> None:
        tenant.mark, tenant.marked = tenant.crowd(), self._next_number()
        heappush(self._crowds, (-tenant.mark, tenant.marked, tenant))
        if len(self._crowds) > 2 * self._backlogged + SLACK:
            self._crowds = [each for each in self._crowds if each[1] == each[2].marked]
            heapify(self._crowds)

    def _next_number(self) -> int:
        self._number += 1
        return self._number

    def _tidy(self) -> None:
        """Forget the tenants that have no call and owe nothing, and if there are too many, those that do."""
        idle = {n: t for n, t in self._tenants.items() if not t.waiting and not t.running}
        if len(idle) <= MOST_IDLE_TENANTS:
            idle = {name: tenant for name, tenant in idle.items() if tenant.counter <= self._floor}
        for name in idle:
            del self._tenants[name]
        self._tidied_at = 2 * len(self._tenants) + SLACK
