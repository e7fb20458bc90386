"""From the configuration to the record of every call: on disk, in the database, compared with what engines say."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from config.paths import Paths
from config.schema import Config
from gateway.budgets import Budgets
from gateway.fleet.catalog import Catalog
from gateway.ledger import Ledger
from gateway.ledger.clerk.clerk import Clerk
from gateway.ledger.clerk.words import Task
from gateway.ledger.drain import Drain
from gateway.ledger.ledger import Sink
from gateway.ledger.reconcile import Reconciler
from gateway.ledger.rows import Kept
from gateway.ledger.spool import Spool
from gateway.ledger.usage import DAY
from gateway.observe.ledger import LedgerMetrics
from gateway.observe.reconciling import Reconciling
from gateway.ratelimit.allowance import Allowances
from gateway.ratelimit.base import Counters
from gateway.store import Database


@dataclass(frozen=True, slots=True)
class Records:
    """Without a sink there is nothing; a ledger over any other sink than a spool is alone."""

    ledger: Ledger | None = None
    drain: Drain | None = None
    clerk: Clerk | None = None
    reconciling: Reconciling | None = None
    metrics: LedgerMetrics | None = None


def spool_of(config: Config, paths: Paths) -> Spool | None:
    """Where records go first, not open; `None` where usage is not recorded."""
    ledger = config.ledger
    if not ledger.enabled:
        return None
    return Spool(paths.ledger, reserve_bytes=ledger.reserve_bytes, most_bytes=ledger.max_spool_bytes)


def records_of(
    config: Config,
    sink: Sink | None,
    database: Database,
    catalog: Catalog,
    *,
    clock: Callable[[], float],
    now: Callable[[], float],
    rng: random.Random,
) -> Records:
    """A ledger that writes to `sink`. A clerk empties a spool into `database`; engines are asked whether it is right."""
    if sink is None:
        return Records()
    wanted = config.ledger
    ledger = Ledger(sink, now=now, rng=rng, serves_unrecorded=wanted.when_full == "serve")
    if not isinstance(sink, Spool):
        return Records(ledger)
    kept = Kept(wanted.retention_days * DAY, wanted.daily_retention_days * DAY)
    clerk = Clerk(Task(str(sink.folder), database.place, kept))
    drain = Drain(sink, ledger, clerk, clock=clock)
    reconciler = Reconciler(ledger)
    return Records(
        ledger,
        drain,
        clerk,
        Reconciling(catalog, reconciler, clock=clock),
        LedgerMetrics(ledger, sink, drain, clerk, reconciler),
    )


def budgets_of(
    config: Config,
    allowances: Allowances,
    counters: Counters,
    database: Database,
    sink: Sink | None,
    *,
    now: Callable[[], float],
) -> Budgets | None:
    """Who counts anew what budgets have spent; `None` where there are none, or no records of usage."""
    if not (allowances.has_budgets and config.ledger.enabled):
        return None
    return Budgets(
        allowances,
        counters,
        database,
        now=now,
        has_left=lambda: isinstance(sink, Spool) and bool(sink.previous),
    )
