"""All parts of one gateway process, as whoever runs it holds them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from config.schema import Config
from gateway.admission import Admission
from gateway.app.company import Company
from gateway.app.prefixes import Prefixes
from gateway.audit import AuditLog
from gateway.budgets import Budgets
from gateway.explain import Recorder
from gateway.fleet.catalog import Catalog
from gateway.fleet.discovery.base import Discovery
from gateway.fleet.scraper import Scraper
from gateway.identity import Identity
from gateway.ledger import Ledger
from gateway.ledger.clerk.clerk import Clerk
from gateway.ledger.drain import Drain
from gateway.ledger.places import Adoption
from gateway.observe.reconciling import Reconciling
from gateway.observe.watchdog import Watchdog
from gateway.proxy.asgi import AsgiDriver
from gateway.proxy.aside import Aside
from gateway.proxy.guard import Guard
from gateway.proxy.proxy import Proxy
from gateway.ratelimit.base import Counters
from gateway.ratelimit.limiter import Limiter
from gateway.seat import Seat
from gateway.store import Database
from gateway.transport import Http1

if TYPE_CHECKING:
    from fastapi import FastAPI


@dataclass(frozen=True, slots=True)
class Gateway:
    """All parts of one gateway process, connected; nothing runs and no socket is open."""

    config: Config
    proxy: Proxy
    catalog: Catalog
    admission: Admission
    transport: Http1
    aside: Aside
    identity: Identity
    limiter: Limiter
    counters: Counters
    budgets: Budgets | None
    """`None` where there are none, or no records of usage."""
    discoveries: tuple[Discovery, ...]
    app: AsgiDriver
    admin: FastAPI
    guard: Guard
    """Of the connections to `app`."""
    admin_guard: Guard
    watchdog: Watchdog
    recorder: Recorder
    audit: AuditLog
    database: Database
    """Opened by who first asks it, never on the way to the first request."""
    scraper: Scraper
    prefixes: Prefixes | None
    """`None` where engines are not asked what their prefix caches hold."""
    ledger: Ledger | None
    drain: Drain | None
    clerk: Clerk | None
    """Started by the first that `drain` asks of it."""
    reconciling: Reconciling | None
    adoption: Adoption | None
    """Moves what other processes left; `None` where there never were any."""
    seat: Seat
    company: Company | None
    """`None` for a process that is alone."""

    def sweep(self) -> None:
        """End what has waited too long; to be called every `SWEEP_EVERY` seconds."""
        self.proxy.sweep()
        self.guard.sweep()
        self.admin_guard.sweep()
        if self.company is not None:
            self.company.guard.sweep()
