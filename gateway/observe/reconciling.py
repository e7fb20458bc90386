"""When the ledger is compared with an engine: whenever the engine rests, and each minute if it never does."""

from __future__ import annotations

from collections.abc import Callable

from gateway.fleet.catalog import Catalog
from gateway.fleet.replica import Replica
from gateway.ledger.reconcile import Reconciler

RECONCILE_EVERY = 5.0
"""Seconds between two looks."""
LONGEST = 60.0


class Reconciling:
    """Feeds `reconciler` with what the replicas of `catalog` said last. Starts no task: its owner calls `sweep`."""

    def __init__(self, catalog: Catalog, reconciler: Reconciler, *, clock: Callable[[], float]) -> None:
        self._catalog = catalog
        self._reconciler = reconciler
        self._clock = clock
        self._compared: dict[str, float] = {}

    def sweep(self) -> None:
        """Compare who is due, forget who is gone."""
        now = self._clock()
        replicas = {replica.endpoint.id: replica for replica in self._catalog.replicas()}
        gone = self._compared.keys() - replicas
        for each in gone:
            del self._compared[each]
        self._reconciler.forget(set(gone))
        for name, replica in replicas.items():
            load = replica.load
            if load is None or load.prompt_tokens is None or load.generation_tokens is None:
                continue
            # The first look too waits for a rest: a page from before the first calls would leave them out for good.
            if _rests(replica) or now - self._compared.setdefault(name, now) >= LONGEST:
                self._compared[name] = now
                self._reconciler.compare(name, int(load.prompt_tokens), int(load.generation_tokens))


def _rests(replica: Replica) -> bool:
    """Whether its last page is of a moment at which it held no call, and after the last word of the last one."""
    load = replica.load
    is_idle = load is not None and not load.running and not load.waiting and not replica.in_flight
    return is_idle and replica.seen.at > replica.heard_at
