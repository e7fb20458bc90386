"""The configuration in force, without its secrets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter

from gateway.api.admin.door import AdminRoute, needs
from gateway.core.call import Role


def router(route_class: type[AdminRoute], config: Mapping[str, Any]) -> APIRouter:
    """The one route. `config` is plain and holds no secret any more."""
    routes = APIRouter(route_class=route_class, tags=["configuration"])

    @routes.get("/admin/config", openapi_extra=needs(Role.VIEWER, "config.read"))
    async def read_config() -> dict[str, Any]:
        """Show the configuration in force. Secrets are hidden."""
        return dict(config)

    return routes
