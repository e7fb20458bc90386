"""From the parts of a gateway to its two FastAPI applications: what clients ask besides inference, and administration."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry

from config.schema import Config
from config.write import public
from gateway.api import costs, health
from gateway.api import usage as usages
from gateway.api.admin import audit as admin_audit
from gateway.api.admin import directory as admin_directory
from gateway.api.admin import fleet as admin_fleet
from gateway.api.admin import requests as admin_requests
from gateway.api.admin import settings as admin_settings
from gateway.api.admin import usage as admin_usage
from gateway.api.admin.build import admin_app
from gateway.api.admin.door import Door
from gateway.api.control import public_app
from gateway.app.company import Company
from gateway.audit import AuditLog
from gateway.explain import Recorder
from gateway.fleet.catalog import Catalog
from gateway.identity import Identity
from gateway.ledger import Ledger
from gateway.proxy.proxy import Proxy
from gateway.ratelimit.base import Counters
from gateway.ratelimit.shared.counters import SharedCounters
from gateway.store import Database

if TYPE_CHECKING:
    from fastapi import APIRouter, FastAPI


def standing_of(
    catalog: Catalog,
    proxy: Proxy,
    ledger: Ledger | None,
    counters: Counters,
    *,
    clock: Callable[[], float],
) -> Callable[[], health.Standing]:
    """Says how this process stands."""
    return partial(
        health.standing,
        catalog,
        is_draining=lambda: proxy.is_leaving,
        is_recording=lambda: ledger is None or not ledger.is_full,
        clock=clock,
        limits=partial(_where_limits_are_counted, counters),
    )


def health_of(stand: Callable[[], health.Standing], company: Company | None) -> partial[APIRouter]:
    """Makes the routes of health: `detailed=True` for operators, `detailed=False` for anybody."""
    if company is None:
        return partial(health.router, stand)
    return partial(health.router, stand, together=company.together)


def public_of(
    catalog: Catalog,
    identity: Identity,
    database: Database,
    health_routes: partial[APIRouter],
    registry: CollectorRegistry,
    *,
    is_recording: bool,
    now: Callable[[], float],
) -> FastAPI:
    """What is served beside inference. `is_recording`: whether there is usage to ask for."""
    authenticator = identity.authenticator
    recorded = (
        [each.router(database, authenticator, now=now) for each in (usages, costs)] if is_recording else []
    )
    return public_app(catalog, authenticator, health_routes(detailed=False), registry, recorded)


def administration_of(
    config: Config,
    door: Door,
    audit: AuditLog,
    identity: Identity,
    catalog: Catalog,
    proxy: Proxy,
    recorder: Recorder,
    database: Database,
    health_routes: partial[APIRouter],
    registry: CollectorRegistry,
    version: str,
    *,
    clock: Callable[[], float],
    now: Callable[[], float],
) -> FastAPI:
    """Metrics and health for all, and everything else behind the `door`."""
    behind = door.route_class()
    routes = [
        admin_requests.router(behind, recorder, clock=clock, wall_clock=now),
        admin_fleet.replica_router(behind, catalog, clock=clock),
        admin_fleet.quarantine_router(behind, proxy.quarantine),
        admin_settings.router(behind, public(config)),
        admin_audit.router(behind, audit),
    ]
    if identity.directory is not None:
        routes.append(admin_directory.router(behind, identity.directory))
    if config.ledger.enabled:
        routes.append(admin_usage.router(behind, database, now=now))
    return admin_app(health_routes(detailed=True), registry, door, routes, version)


def _where_limits_are_counted(counters: Counters) -> dict[str, Any]:
    if not isinstance(counters, SharedCounters):
        return {"store": "memory"}
    state = counters.state()
    return {
        "store": "valkey",
        "counted": "together" if state.is_up else "alone",
        "trouble": state.trouble,
        "gateways": state.gateways,
    }
