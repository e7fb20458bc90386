"""`GET /v1/models`: the models a key may use, from memory, also while their engines are down."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from gateway.api.callers import caller_of
from gateway.auth.base import Authenticator
from gateway.core.call import Principal
from gateway.core.errors import Forbidden, ModelNotFound
from gateway.fleet.catalog import Catalog
from gateway.fleet.pool import serving
from gateway.openai.operations import MODELS


def router(catalog: Catalog, authenticator: Authenticator) -> APIRouter:
    """The model list and single models."""
    routes = APIRouter(prefix="/v1/models")

    def caller(request: Request) -> Principal:
        principal = caller_of(request, authenticator)
        if not principal.may_call(MODELS):
            raise Forbidden("This key may not be used for this.")
        return principal

    def describe(model: str) -> dict[str, Any]:
        pools = catalog.pools_of(model)
        return {
            "id": model,
            "object": "model",
            "created": min(catalog.created(pool.model) for pool in pools),
            "owned_by": "cascadia",
            "ready": any(serving(pool.members) for pool in pools),
        }

    @routes.get("")
    async def list_models(request: Request) -> dict[str, Any]:
        principal = caller(request)
        return {
            "object": "list",
            "data": [describe(name) for name in catalog.names() if principal.may_use(name)],
        }

    @routes.get("/{model:path}")
    async def get_model(model: str, request: Request) -> dict[str, Any]:
        principal = caller(request)
        if not (principal.may_use(model) and catalog.pools_of(model)):
            raise ModelNotFound.named(model)
        return describe(model)

    return routes
