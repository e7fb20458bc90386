"""Liveness and readiness. Both are O(1) in the number of requests and need no key."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from gateway.fleet.catalog import Catalog
from gateway.fleet.pool import serving
from gateway.fleet.replica import Replica

_READY, _NOT_READY = 200, 503


def router(
    catalog: Catalog,
    *,
    is_draining: Callable[[], bool],
    is_recording: Callable[[], bool] = lambda: True,
    clock: Callable[[], float],
    detailed: bool,
    limits: Callable[[], dict[str, Any]] = dict,
) -> APIRouter:
    """`/livez` and `/readyz`; `detailed` names models and replicas, for the admin listener only.

    `is_recording` says whether usage can be written down. `limits` says where limits are counted: a server that does
    not answer makes no gateway unready, it serves on.
    """
    routes = APIRouter()

    @routes.get("/livez")
    async def livez() -> dict[str, str]:
        return {"status": "alive"}

    @routes.get("/readyz")
    async def readyz() -> JSONResponse:
        is_ready, reason = _readiness(catalog, is_draining=is_draining(), is_recording=is_recording())
        content: dict[str, Any] = {"status": "ready" if is_ready else "not ready", "reason": reason}
        if detailed:
            content["models"] = {pool.model: _counts(pool.members) for pool in catalog.pools()}
            content["replicas"] = [_replica(replica, clock()) for replica in catalog.replicas()]
            content["limits"] = limits()
        return JSONResponse(content, status_code=_READY if is_ready else _NOT_READY)

    return routes


def _readiness(catalog: Catalog, *, is_draining: bool, is_recording: bool) -> tuple[bool, str | None]:
    if is_draining:
        return False, "draining"
    if not is_recording:
        return False, "usage cannot be recorded"
    if not serving(catalog.replicas()):
        return False, "no engine is ready"
    return True, None


def _counts(members: Iterable[Replica]) -> dict[str, int]:
    replicas = list(members)
    return {"replicas": len(replicas), "ready": serving(replicas)}


def _replica(replica: Replica, now: float) -> dict[str, Any]:
    return {
        "id": replica.endpoint.id,
        "condition": replica.condition.value,
        "ejected": replica.is_ejected(now),
        "in_flight": replica.in_flight,
        "max_in_flight": replica.endpoint.max_in_flight,
    }
