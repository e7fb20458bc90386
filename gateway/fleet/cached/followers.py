"""A follower for each engine that publishes what its cache holds, kept in step with the catalog."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from gateway.fleet.cached.blocks import Blocks
from gateway.fleet.cached.follower import Follower
from gateway.fleet.catalog import Catalog
from gateway.fleet.endpoint import Published
from gateway.fleet.replica import Replica


class Followers:
    """Starts no task before `sweep` is called, which its owner does several times a second; and `close` at the end."""

    def __init__(self, catalog: Catalog, follow: Callable[[str, Published], Follower] = Follower) -> None:
        self._catalog = catalog
        self._follow = follow
        self._followers: dict[str, Follower] = {}

    def __repr__(self) -> str:
        return f"<Followers {list(self._followers.values())}>"

    def __iter__(self) -> Iterator[Follower]:
        return iter(self._followers.values())

    def sweep(self) -> None:
        """Follow who is new, from the moment its engine starts; leave who is gone."""
        wanted = {
            replica.endpoint.id: replica.endpoint.published
            for replica in self._catalog.replicas()
            if replica.endpoint.published is not None
        }
        for name in [
            name for name, follower in self._followers.items() if wanted.get(name) != follower.where
        ]:
            self._followers.pop(name).close()
        for name, where in wanted.items():
            if name not in self._followers and where is not None:
                follower = self._followers[name] = self._follow(name, where)
                follower.start()

    def of(self, replica: Replica) -> Blocks | None:
        """What the replica's engine has; `None` when it does not say, or is not followed now."""
        follower = self._followers.get(replica.endpoint.id)
        return follower.blocks if follower is not None and follower.is_connected else None

    def close(self) -> None:
        """Leave all."""
        while self._followers:
            self._followers.popitem()[1].close()
