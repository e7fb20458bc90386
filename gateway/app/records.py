"""From the configuration to the record of every call: on disk, in the database, compared with what engines say."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from config.paths import Paths
from config.schema import Config
from gateway.budgets import Budgets
from gateway.fleet.catalog import Catalog
from gateway.ledger import Ledger, segments
from gateway.ledger.clerk.clerk import Clerk
from gateway.ledger.clerk.words import Task
from gateway.ledger.cost import Price
from gateway.ledger.drain import Drain
from gateway.ledger.ledger import Sink
from gateway.ledger.places import Adoption, Make, first_free, is_shared
from gateway.ledger.reconcile import Reconciler
from gateway.ledger.records import Record
from gateway.ledger.rows import Kept
from gateway.ledger.spool import Spool
from gateway.ledger.usage import DAY
from gateway.observe.ledger import LedgerMetrics
from gateway.observe.reconciling import Reconciling
from gateway.ratelimit.allowance import Allowances
from gateway.ratelimit.base import Counters
from gateway.seat import Seat, share_of
from gateway.store import Database


@dataclass(frozen=True, slots=True)
class Records:
    """Without a sink there is nothing; a ledger over any other sink than a spool is alone."""

    ledger: Ledger | None = None
    drain: Drain | None = None
    clerk: Clerk | None = None
    reconciling: Reconciling | None = None
    metrics: LedgerMetrics | None = None
    adoption: Adoption | None = None
    """Where other processes have spools too, or had."""


def spool_of(config: Config, paths: Paths) -> Spool | None:
    """Where records go first, not open; `None` where usage is not recorded."""
    return _maker(config)(paths.ledger) if config.ledger.enabled else None


def first_free_spool(config: Config, paths: Paths, seat: Seat) -> Spool | None:
    """The same for one of several processes, open. Raises `SpoolError`."""
    return first_free(paths.ledger, _maker(share_of(config, seat))) if config.ledger.enabled else None


def _maker(config: Config) -> Make:
    return partial(Spool, reserve_bytes=config.ledger.reserve_bytes, most_bytes=config.ledger.max_spool_bytes)


def records_of(
    config: Config,
    paths: Paths,
    sink: Sink | None,
    database: Database,
    catalog: Catalog,
    allowances: Allowances,
    *,
    clock: Callable[[], float],
    now: Callable[[], float],
    rng: random.Random,
    seat: Seat,
) -> Records:
    """A ledger that writes to `sink`. A clerk empties a spool into `database`; engines are asked whether it is right.

    They are not asked where several processes call them: what an engine counts is the work of all.
    """
    if sink is None:
        return Records()
    wanted = config.ledger
    prices = {model: Price(*each) for model, each in allowances.prices.items()}
    ledger = Ledger(sink, now=now, rng=rng, serves_unrecorded=wanted.when_full == "serve", prices=prices)
    if not isinstance(sink, Spool):
        return Records(ledger)
    kept = Kept(wanted.retention_days * DAY, wanted.daily_retention_days * DAY)

    def clerk_of(folder: Path) -> Clerk:
        return Clerk(Task(str(folder), database.place, kept, prices))

    clerk = clerk_of(sink.folder)
    drain = Drain(sink, ledger, clerk, clock=clock)
    reconciler = Reconciler(ledger)
    return Records(
        ledger,
        drain,
        clerk,
        Reconciling(catalog, reconciler, clock=clock) if seat.is_alone else None,
        LedgerMetrics(ledger, sink, drain, clerk, reconciler),
        None
        if seat.is_alone and not is_shared(paths.ledger)
        else Adoption(paths.ledger, sink.folder, _maker(config), clerk_of, clock=clock, now=now, rng=rng),
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
        left=lambda: _left(sink),
    )


def _left(sink: Sink | None) -> Iterator[Record]:
    """What earlier processes left in the spool. Raises `OSError`."""
    if isinstance(sink, Spool):
        for number in tuple(sink.previous):
            yield from segments.read(sink.folder, number).records
