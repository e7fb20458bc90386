"""Replicas and the quarantine: what there is, and an operator's word on it. What is said here ends with the process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from fastapi import APIRouter, Request
from pydantic import BaseModel

from gateway.api.admin.door import AdminRoute, needs, visit_of
from gateway.core.call import Role
from gateway.core.errors import NotFound
from gateway.core.held import Held
from gateway.fleet.catalog import Catalog
from gateway.fleet.replica import Replica


class ReplicaOf(BaseModel):
    """One replica as this gateway has it."""

    id: str
    engine: str
    models: list[str]
    condition: str
    drained: bool
    """Whether an operator has drained it."""
    ejected: bool
    in_flight: int
    limit: int
    max_in_flight: int


class Replicas(BaseModel):
    """All replicas."""

    data: list[ReplicaOf]


class HeldRequest(BaseModel):
    """A request that is given to no engine. Its text is not known here; `id` is a keyed digest of it."""

    id: str
    seconds_left: float
    replicas: list[str]


class Quarantine(Protocol):
    """What holds requests back."""

    def listed(self) -> list[Held]:
        """All that are held."""
        ...

    def release(self, id_: str) -> bool:
        """Let one out; whether it was in."""
        ...


class HeldRequests(BaseModel):
    """All of them."""

    data: list[HeldRequest]


def replica_router(
    route_class: type[AdminRoute], catalog: Catalog, *, clock: Callable[[], float]
) -> APIRouter:
    """Listing, draining and undraining replicas."""
    routes = APIRouter(prefix="/admin/replicas", route_class=route_class, tags=["replicas"])

    def shown(replica: Replica) -> ReplicaOf:
        endpoint = replica.endpoint
        return ReplicaOf(
            id=endpoint.id,
            engine=endpoint.engine,
            models=[public for public, _ in endpoint.models],
            condition=replica.condition.value,
            drained=catalog.is_drained(endpoint.id),
            ejected=replica.is_ejected(clock()),
            in_flight=replica.in_flight,
            limit=replica.limit,
            max_in_flight=endpoint.max_in_flight,
        )

    def found(id_: str) -> Replica:
        for replica in catalog.replicas():
            if replica.endpoint.id == id_:
                return replica
        raise NotFound("There is no replica of that id.")

    def change(request: Request, id_: str, *, drained: bool) -> ReplicaOf:
        visit = visit_of(request)
        visit.object = f"replicas/{id_}"
        replica = found(id_)
        visit.before = {"drained": catalog.is_drained(id_)}
        catalog.drain(id_, drained=drained)
        visit.after = {"drained": drained}
        return shown(replica)

    @routes.get("", openapi_extra=needs(Role.VIEWER, "replicas.list"))
    async def list_replicas() -> Replicas:
        """List the replicas."""
        return Replicas(data=[shown(replica) for replica in catalog.replicas()])

    @routes.get("/{replica_id}", openapi_extra=needs(Role.VIEWER, "replicas.read"))
    async def read_replica(replica_id: str) -> ReplicaOf:
        """Show one replica."""
        return shown(found(replica_id))

    @routes.post("/{replica_id}/drain", openapi_extra=needs(Role.OPERATOR, "replicas.drain"))
    async def drain_replica(replica_id: str, request: Request) -> ReplicaOf:
        """Give a replica no more calls; what runs there is finished."""
        return change(request, replica_id, drained=True)

    @routes.post("/{replica_id}/undrain", openapi_extra=needs(Role.OPERATOR, "replicas.undrain"))
    async def undrain_replica(replica_id: str, request: Request) -> ReplicaOf:
        """Give it calls again, when its discovery calls it ready."""
        return change(request, replica_id, drained=False)

    return routes


def quarantine_router(route_class: type[AdminRoute], quarantine: Quarantine) -> APIRouter:
    """Listing requests in quarantine, and letting them out."""
    routes = APIRouter(prefix="/admin/quarantine", route_class=route_class, tags=["quarantine"])

    def state(held: list[Held]) -> list[str]:
        return sorted(each.id for each in held)

    @routes.get("", openapi_extra=needs(Role.VIEWER, "quarantine.list"))
    async def list_held() -> HeldRequests:
        """List the requests under which engines died and that are held back."""
        return HeldRequests(
            data=[
                HeldRequest(
                    id=each.id, seconds_left=round(each.seconds_left, 1), replicas=list(each.replicas)
                )
                for each in quarantine.listed()
            ]
        )

    @routes.delete("", openapi_extra=needs(Role.OPERATOR, "quarantine.clear"))
    async def release_all(request: Request) -> dict[str, Any]:
        """Let all of them out."""
        visit, held = visit_of(request), quarantine.listed()
        visit.object, visit.before, visit.after = "quarantine", state(held), []
        for each in held:
            quarantine.release(each.id)
        return {"released": len(held)}

    @routes.delete("/{held_id}", openapi_extra=needs(Role.OPERATOR, "quarantine.release"))
    async def release(held_id: str, request: Request) -> dict[str, Any]:
        """Let one out."""
        visit_of(request).object = f"quarantine/{held_id}"
        if not quarantine.release(held_id):
            raise NotFound("There is no request of that id in quarantine.")
        return {"released": 1}

    return routes
