"""Liveness and readiness. Both are O(1) in the number of requests and need no key."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, NamedTuple

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from gateway.fleet.catalog import Catalog
from gateway.fleet.pool import serving
from gateway.fleet.replica import Replica

_READY, _NOT_READY = 200, 503


class Standing(NamedTuple):
    """`reason` says why the gateway is not ready; `None` when it is. `detail` names models and replicas."""

    reason: str | None
    detail: dict[str, Any]


def standing(
    catalog: Catalog,
    *,
    is_draining: Callable[[], bool],
    is_recording: Callable[[], bool] = lambda: True,
    clock: Callable[[], float],
    limits: Callable[[], dict[str, Any]] = dict,
) -> Standing:
    """How this process stands now.

    `is_recording` says whether usage can be written down. `limits` says where limits are counted: a server that does
    not answer makes no gateway unready, it serves on.
    """
    return Standing(
        _unready(catalog, is_draining=is_draining(), is_recording=is_recording()),
        {
            "models": {pool.model: _counts(pool.members) for pool in catalog.pools()},
            "replicas": [_replica(replica, clock()) for replica in catalog.replicas()],
            "limits": limits(),
        },
    )


async def _as_it_is(standing: Standing) -> Standing:
    return standing


def router(
    stand: Callable[[], Standing],
    *,
    detailed: bool,
    together: Callable[[Standing], Awaitable[Standing]] = _as_it_is,
) -> APIRouter:
    """`/livez` and `/readyz`; `detailed` names models and replicas, for the admin listener only.

    `together` makes of this process's standing that of the service.
    """
    routes = APIRouter()

    @routes.get("/livez")
    async def livez() -> dict[str, str]:
        return {"status": "alive"}

    @routes.get("/readyz")
    async def readyz() -> JSONResponse:
        reason, detail = await together(stand())
        content = {"status": "ready" if reason is None else "not ready", "reason": reason}
        return JSONResponse(
            {**content, **detail} if detailed else content,
            status_code=_READY if reason is None else _NOT_READY,
        )

    return routes


def _unready(catalog: Catalog, *, is_draining: bool, is_recording: bool) -> str | None:
    if is_draining:
        return "draining"
    if not is_recording:
        return "usage cannot be recorded"
    return None if serving(catalog.replicas()) else "no engine is ready"


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
