"""What the operator says of a public model name besides who serves it: shares, fallbacks, a mirror.

A name with shares is served by the pools of other names, each in proportion to its weight. A session stays with one of
them, and when one weight changes only sessions that go to that pool or leave it move.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from gateway.core.rendezvous import mixed, number_of, weighted


class Target(NamedTuple):
    """Where a call may go."""

    model: str
    """The name whose pool serves it."""
    public: str
    """What its answer calls the model."""


class Share(NamedTuple):
    """One pool's part of a name."""

    model: str
    weight: float
    seed: int

    @classmethod
    def of(cls, model: str, weight: float) -> Share:
        """The part `weight` for the pool of `model`."""
        return cls(model, weight, number_of(model.encode()))


@dataclass(frozen=True, slots=True)
class Route:
    """One public name's. Without `shares` its own pool serves it."""

    model: str
    shares: tuple[Share, ...] = ()
    fallbacks: tuple[str, ...] = ()
    """Public names to go on to, in their order. Theirs are not followed: there is no way round in a circle."""
    on_context_length: bool = False
    """Whether a request that is too long for the model is a reason to go on."""

    def targets(self, number: int) -> list[Target]:
        """The pools for a call or session of that 64-bit number, the one to be asked first in front."""
        if not self.shares:
            return [Target(self.model, self.model)]
        bids = [
            (weighted(mixed(number ^ share.seed), share.weight), share.model)
            for share in self.shares
            if share.weight
        ]
        bids.sort(reverse=True)
        return [Target(model, self.model) for _, model in bids]


@dataclass(frozen=True, slots=True)
class Routes:
    """All of them, by public name; names without one are not in it."""

    by_model: Mapping[str, Route] = field(default_factory=dict)

    def get(self, model: str) -> Route | None:
        """The route of a public name, `None` where nothing is said of it."""
        return self.by_model.get(model)

    def names(self) -> Iterator[str]:
        """Public names that have a route."""
        return iter(self.by_model)

    def fallbacks(self, route: Route, number: int) -> Iterator[Target]:
        """Where calls of `route` go on to, in order."""
        for model in route.fallbacks:
            named = self.by_model.get(model)
            yield from [Target(model, model)] if named is None else named.targets(number)


def session_number(tenant: str, session: str) -> int:
    """The number of a session. No tenant's is another's, whatever they call them."""
    name = tenant.encode()
    return number_of(b"%d:%b%b" % (len(name), name, session.encode()))
