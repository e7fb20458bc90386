"""Tier first, then fair between tenants, then whoever's time is over first."""

from __future__ import annotations

from gateway.admission.orderings.base import Ordering
from gateway.admission.orderings.shares import Shares
from gateway.admission.ticket import Ticket
from gateway.core.call import Call, Tier

GUARANTEE = 0.05
FEWEST_CROWDED = 32
"""Fewer than this are no crowd, however few may wait."""


class Fair:
    """Higher tiers go first; within one, each tenant has its share.

    `guarantee` is the part of all grants that a lower tier has while higher ones wait; 0 lets it starve. `crowded` is
    how many have to wait before each tenant's newest goes first, until half as many do: in a queue that long the oldest
    will be too late anyway, and serving them makes the others late too. `None`: never.
    """

    __slots__ = ("_credits", "_crowded", "_guarantee", "_is_crowded", "_shares", "_waiting")

    def __init__(self, *, guarantee: float = GUARANTEE, crowded: int | None = None) -> None:
        self._guarantee = guarantee
        self._crowded = None if crowded is None else max(crowded, FEWEST_CROWDED)
        self._is_crowded = False
        self._waiting = 0
        self._shares = tuple(Shares() for _ in Tier)
        self._credits = [0.0 for _ in Tier]

    @property
    def is_crowded(self) -> bool:
        """Whether the newest go first."""
        return self._is_crowded

    @property
    def remembered(self) -> int:
        """Tenants of which something is kept, once for each tier."""
        return sum(shares.remembered for shares in self._shares)

    def join(self, ticket: Ticket, *, first: bool) -> None:
        """See `Ordering.join`."""
        self._shares[ticket.call.tier].join(ticket, first=first)
        self._waiting += 1
        if self._crowded is not None and self._waiting > self._crowded:
            self._is_crowded = True

    def leave(self, ticket: Ticket) -> None:
        """See `Ordering.leave`."""
        tier = ticket.call.tier
        shares = self._shares[tier]
        shares.leave(ticket)
        self._waiting -= 1
        if not shares.waiting:
            self._credits[tier] = 0.0
        if self._is_crowded and self._crowded is not None and 2 * self._waiting <= self._crowded:
            self._is_crowded = False

    def next(self) -> Ticket | None:
        """See `Ordering.next`."""
        highest: Shares | None = None
        for tier in _DOWNWARDS:
            shares = self._shares[tier]
            if not shares.waiting:
                continue
            if highest is None:
                highest = shares
            elif self._credits[tier] >= 1:
                return shares.next(newest_first=self._is_crowded)
        return None if highest is None else highest.next(newest_first=self._is_crowded)

    def last(self, call: Call) -> Ticket | None:
        """See `Ordering.last`: the newest of the lowest tier, or of a tenant that has more there than this one."""
        for tier in range(call.tier):
            if self._shares[tier].waiting:
                return self._shares[tier].newest()
        return self._shares[call.tier].newest_of_a_larger_crowd(call.principal)

    def ahead(self, call: Call) -> float:
        """See `Ordering.ahead`."""
        higher = sum([shares.cost for shares in self._shares[call.tier + 1 :]])
        return higher + self._shares[call.tier].ahead(call.principal, newest_first=self._is_crowded)

    def stands_since(self, call: Call) -> float | None:
        """See `Ordering.stands_since`: the line is that of its tenant and tier."""
        return self._shares[call.tier].stands_since(call.principal)

    def is_modest(self, call: Call, slots: int) -> bool:
        """See `Ordering.is_modest`. What is flex can wait, and never is."""
        tier = call.tier
        return tier is not Tier.FLEX and self._shares[tier].is_modest(call.principal, slots)

    def charge(self, call: Call, cost: float) -> None:
        """See `Ordering.charge`."""
        tier = call.tier
        if self._waiting:
            self._credit(tier)
        self._shares[tier].charge(call.principal, cost)

    def correct(self, call: Call, difference: float) -> None:
        """See `Ordering.correct`."""
        self._shares[call.tier].correct(call.principal, difference)

    def _credit(self, granted: Tier) -> None:
        """Those that wait below earn a part of a turn, the one that had its turn has spent it."""
        if self._credits[granted] >= 1:
            self._credits[granted] -= 1
        for tier in range(granted):
            if self._shares[tier].waiting:
                self._credits[tier] += self._guarantee


_DOWNWARDS = tuple(reversed(Tier))
_: type[Ordering] = Fair
