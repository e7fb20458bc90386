"""Public model name → pool, kept in step with what the discoveries see.

Each discovery owns the endpoints it publishes: a publication replaces all it said before and nothing of the others. A
changed endpoint (another address, another key) is a new replica, since what the old one's calls do says nothing of it;
a changed condition is not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from gateway.core.errors import ModelNotFound
from gateway.fleet.endpoint import Condition, Endpoint, Sighting
from gateway.fleet.pool import Pool
from gateway.fleet.replica import Replica
from gateway.fleet.routes import Routes


class Catalog:
    """All pools and replicas. `on_change` is told after each publication that changed anything."""

    def __init__(
        self,
        *,
        on_change: Callable[[], None] = lambda: None,
        on_gone: Callable[[Endpoint], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
        routes: Routes = Routes(),  # noqa: B008 - a frozen value
    ) -> None:
        self.routes = routes
        self.on_change = on_change
        self.on_gone = on_gone
        self._clock = clock
        self._pools: dict[str, Pool] = {}
        self._sources: dict[str, dict[str, Replica]] = {}
        self._created: dict[str, int] = {}
        self._drained: dict[str, Condition] = {}
        """Ids of replicas that an operator drained, with the condition that discovery last saw each in."""

    def __repr__(self) -> str:
        return f"<Catalog {list(self._pools.values())}>"

    def resolve(self, model: str) -> Pool:
        """The pool of a public model name. Raises `ModelNotFound`."""
        pool = self._pools.get(model)
        if pool is None:
            raise ModelNotFound.named(model)
        return pool

    def pool(self, model: str) -> Pool:
        """The pool of a public model name; an empty one where nobody ever served it."""
        return self._pools.get(model) or Pool(model)

    def names(self) -> Iterator[str]:
        """Every public model name that somebody serves, those that are split between others last."""
        yield from self._pools
        for name in self.routes.names():
            if name not in self._pools and self.pools_of(name):
                yield name

    def pools_of(self, model: str) -> list[Pool]:
        """The pools that serve a public model name, each with its share of it or alone."""
        route = self.routes.get(model)
        names = [model] if route is None or not route.shares else [s.model for s in route.shares if s.weight]
        return [self._pools[name] for name in names if name in self._pools]

    def pools(self) -> Iterator[Pool]:
        """Every pool, by the order in which the models were first seen."""
        return iter(self._pools.values())

    def replicas(self) -> Iterator[Replica]:
        """Every replica once."""
        for replicas in self._sources.values():
            yield from replicas.values()

    def is_flowing(self, id_: str, now: float) -> bool:
        """Whether a replica of that name holds calls and something of an answer came from it a moment ago."""
        return any(r.endpoint.id == id_ and r.is_flowing(now) for r in self.replicas())

    def created(self, model: str) -> int:
        """When `model` was first seen, in Unix seconds."""
        return self._created[model]

    def publish(self, source: str, sightings: Sequence[Sighting]) -> None:
        """Replace all that `source` said before by `sightings`."""
        known = self._sources.get(source, {})
        current = {s.endpoint.id: self._keep_or_make(known.get(s.endpoint.id), s) for s in sightings}
        gone = [replica for id_, replica in known.items() if current.get(id_) is not replica]
        self._sources[source] = current
        self._rebuild()
        for replica in gone:
            # For who still holds it: its engine ended, or was another's to end.
            replica.condition = Condition.DOWN
            self.on_gone(replica.endpoint)
        self.on_change()

    def is_drained(self, id_: str) -> bool:
        """Whether an operator drained the replica of that id."""
        return id_ in self._drained

    def drain(self, id_: str, *, drained: bool) -> None:
        """Give the replicas of that id no more calls, whatever discovery says of them; or again."""
        for replica in self.replicas():
            if replica.endpoint.id == id_ and drained != (id_ in self._drained):
                seen = self._drained.pop(id_, None) or replica.condition
                if drained:
                    self._drained[id_] = seen
                replica.condition = self._in_force(id_, seen)
        self.on_change()

    def keep_drained(self, ids: Iterable[str]) -> None:
        """Take these as drained from when they are first seen: an operator said so to another process of this service."""
        for id_ in ids:
            self._drained.setdefault(id_, Condition.READY)

    def _in_force(self, id_: str, seen: Condition) -> Condition:
        if id_ not in self._drained:
            return seen
        self._drained[id_] = seen
        return Condition.DRAINING if seen is Condition.READY else seen

    def _keep_or_make(self, known: Replica | None, sighting: Sighting) -> Replica:
        condition = self._in_force(sighting.endpoint.id, sighting.condition)
        if known is None or known.endpoint != sighting.endpoint:
            known = Replica(sighting.endpoint, condition)
        elif condition is Condition.READY and known.condition is not Condition.READY:
            known.came_back(self._clock())
        known.condition = condition
        known.is_another = sighting.is_another
        known.is_doubted = known.is_doubted or known.is_another
        known.ready_in = sighting.ready_in
        return known

    def _rebuild(self) -> None:
        """Refill the pools in place, so that a queue keyed by its pool stays that pool's."""
        for pool in self._pools.values():
            pool.members.clear()
        for replica in self.replicas():
            for public, upstream in replica.endpoint.models:
                if public not in self._pools:
                    self._pools[public] = Pool(public)
                    self._created.setdefault(public, int(time.time()))
                self._pools[public].members[replica] = upstream
        for model in _empty(self._pools.values()):
            del self._pools[model]


def _empty(pools: Iterable[Pool]) -> list[str]:
    return [pool.model for pool in pools if not pool.members]
