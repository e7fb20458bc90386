"""The application on the admin listener: health and metrics for all, everything else behind the door."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from prometheus_client import CollectorRegistry
from prometheus_fastapi_instrumentator import Instrumentator

from gateway.api.admin.door import Door, check_routes, needs
from gateway.api.control import bare
from gateway.core.call import Role

_TITLE = "Cascadia Gateway, administration"


def admin_app(
    health: APIRouter, registry: CollectorRegistry, door: Door, routers: Sequence[APIRouter], version: str
) -> FastAPI:
    """Metrics, detailed health and the administration. Raises `UndeclaredPermission` for a route that is open by mistake."""
    app = bare(_TITLE)
    for router in (health, *routers, _description(app, door, version)):
        # Themselves, not within a router: `check_routes` looks at each.
        app.router.routes.extend(router.routes)
    Instrumentator(registry=registry).expose(app, endpoint="/metrics", include_in_schema=False)
    check_routes(app)
    return app


def _description(app: FastAPI, door: Door, version: str) -> APIRouter:
    routes = APIRouter(route_class=door.route_class())

    @routes.get("/admin/openapi.json", openapi_extra=needs(Role.VIEWER, "openapi.read"))
    async def openapi() -> dict[str, Any]:
        """This description."""
        described = get_openapi(title=_TITLE, version=version, routes=app.routes)
        components = described.setdefault("components", {})
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        return described

    return routes
