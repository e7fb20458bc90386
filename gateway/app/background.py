"""What a gateway does beside its calls: one task each, until it is cancelled."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Coroutine

from gateway import memory
from gateway.app.gateway import Gateway
from gateway.app.prefixes import Prefixes
from gateway.audit import AuditError, AuditLog
from gateway.auth.directory.directory import Directory
from gateway.auth.private import KeyFileError
from gateway.core.errors import StoreUnavailable
from gateway.fleet.catalog import Catalog
from gateway.fleet.discovery.base import Discovery, Publish
from gateway.fleet.scraper import Scraper
from gateway.observe.reconciling import RECONCILE_EVERY, Reconciling
from gateway.proxy.proxy import SWEEP_EVERY
from gateway.ratelimit.shared.counters import SharedCounters
from gateway.seat import Seat, sighted

KEYS_EVERY = 2.0
"""Seconds between two looks at the key file: a revoked key stops working in less than 5 s."""
SCRAPE_EVERY = 0.25
"""Seconds between two looks at which engine is due to be asked for its load."""
ANCHOR_EVERY = 86_400.0
"""Seconds between two anchors of the audit log."""

log = logging.getLogger(__package__)


def background_of(gateway: Gateway) -> list[Coroutine[None, None, None]]:
    """The work of each task, in the order in which they start."""
    work = [
        discovery.watch(_publish(gateway.catalog, discovery, gateway.seat))
        for discovery in gateway.discoveries
    ]
    work += [_sweep(gateway), _scrape(gateway.scraper, gateway.prefixes), gateway.watchdog.beat()]
    if not gateway.seat.number:  # one of several processes says it for all
        work.append(_anchor(gateway.audit))
    if gateway.identity.directory is not None:
        work.append(follow(gateway.identity.directory))
    if gateway.drain is not None:
        work.append(gateway.drain.run())
    if gateway.adoption is not None:
        work.append(gateway.adoption.run())
    if gateway.reconciling is not None:
        work.append(_reconcile(gateway.reconciling))
    work += [each() for each in gateway.identity.followers]
    if gateway.company is not None:
        work.append(gateway.company.writer.run())
    if isinstance(gateway.counters, SharedCounters):
        work.append(gateway.counters.run())
    if gateway.budgets is not None:
        work.append(gateway.budgets.run())
    return work


async def for_ever(work: Coroutine[None, None, None]) -> None:
    """Run a background task. One that fails is a bug: it is told loudly and takes the process down."""
    try:
        await work
    except Exception:
        log.exception("background task failed, stopping")
        signal.raise_signal(signal.SIGTERM)


def _publish(catalog: Catalog, discovery: Discovery, seat: Seat) -> Publish:
    return lambda sightings: catalog.publish(discovery.name, sighted(sightings, seat))


async def _sweep(gateway: Gateway) -> None:
    limit = memory.limit_bytes() / gateway.seat.of
    while True:
        await asyncio.sleep(SWEEP_EVERY)
        with contextlib.suppress(OSError):  # no file descriptor is left to look with: it stays as it was
            used = memory.resident_bytes() / limit
            gateway.guard.is_pressed = used > memory.PRESSED
            gateway.proxy.is_full = used > memory.FULL
        gateway.sweep()


async def _anchor(audit: AuditLog) -> None:
    """Tell the log stream once a day where the audit log stands, for who keeps it elsewhere."""
    while True:
        try:
            head = await asyncio.to_thread(audit.head)
            log.info("audit anchor", extra={"seq": head.seq, "hash": head.hash})
        except AuditError as error:
            log.warning("audit log cannot be read", extra={"error": str(error)})
        await asyncio.sleep(ANCHOR_EVERY)


async def _scrape(scraper: Scraper, prefixes: Prefixes | None) -> None:
    while True:
        await asyncio.sleep(SCRAPE_EVERY)
        scraper.sweep()
        if prefixes is not None:
            prefixes.sweep()


async def _reconcile(reconciling: Reconciling) -> None:
    while True:
        await asyncio.sleep(RECONCILE_EVERY)
        reconciling.sweep()


async def follow(directory: Directory) -> None:
    """Look every `KEYS_EVERY` seconds whether keys changed. While they cannot be read, the last ones stay."""
    while True:
        await asyncio.sleep(KEYS_EVERY)
        try:
            if await directory.refresh():
                log.info("API keys reloaded")
        except (KeyFileError, StoreUnavailable) as error:
            log.warning("API keys not reloaded", extra={"error": str(error)})
