"""What a gateway process has only beside others of the same service: notes, questions to siblings, answers for all."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry

from gateway.api.admin import fleet as admin_fleet
from gateway.api.admin import requests as admin_requests
from gateway.api.admin.door import AdminRoute
from gateway.api.admin.inside import inside_app
from gateway.api.health import Standing
from gateway.explain import Recorder
from gateway.fleet.catalog import Catalog
from gateway.proxy.guard import Guard
from gateway.proxy.proxy import Proxy
from gateway.seat import Seat
from gateway.siblings import notes
from gateway.siblings.service import Service
from gateway.siblings.spread import Spread
from gateway.siblings.writer import Stand, Writer

if TYPE_CHECKING:
    from pathlib import Path

    from fastapi import APIRouter, FastAPI


@dataclass(frozen=True, slots=True)
class Company:
    """One process among its siblings."""

    writer: Writer
    spread: Spread
    registry: CollectorRegistry
    """Of the whole service's metrics."""
    inside: FastAPI
    guard: Guard
    """Of the connections to `inside`."""
    socket: Path
    """Where `inside` is served."""
    seats: int

    def drained(self) -> set[str]:
        """Replicas that an operator drained, as the other processes have it."""
        return {id_ for note in notes.told(self.writer.folder).notes for id_ in note.drained}

    async def together(self, standing: Standing) -> Standing:
        """How the service stands, of which `standing` is this process's part."""
        return Standing(*await self.writer.together(standing.reason, standing.detail, self.seats))


def company_of(
    seat: Seat,
    registry: CollectorRegistry,
    stand: Callable[[], Standing],
    catalog: Catalog,
    proxy: Proxy,
    recorder: Recorder,
    guard: Guard,
    *,
    clock: Callable[[], float],
    now: Callable[[], float],
) -> Company | None:
    """`None` for a process that is alone."""
    if seat.is_alone or seat.folder is None:
        return None

    def routers(route_class: type[AdminRoute]) -> Sequence[APIRouter]:
        return (
            admin_requests.router(route_class, recorder, clock=clock, wall_clock=now, tells_places=True),
            admin_fleet.replica_router(route_class, catalog, clock=clock),
            admin_fleet.quarantine_router(route_class, proxy.quarantine),
        )

    def told() -> Stand:
        drained = (each.endpoint.id for each in catalog.replicas() if catalog.is_drained(each.endpoint.id))
        return Stand(*stand(), drained=tuple(drained))

    writer = Writer(
        seat.folder, seat=seat.number, pid=os.getpid(), registry=registry, stand=told, clock=clock
    )
    whole = CollectorRegistry()
    whole.register(Service(writer, registry, seat.of, clock))
    return Company(
        writer,
        Spread(seat.folder, writer.name),
        whole,
        inside_app(routers),
        guard,
        notes.socket_of(seat.folder, writer.name),
        seat.of,
    )
