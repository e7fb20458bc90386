"""`GET /v1/models`: the models a key may use, from memory, also while their engines are down."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from gateway.api.callers import caller_of
from gateway.auth.base import Authenticator
from gateway.core.call import Principal
from gateway.core.errors import Forbidden, ModelNotFound
from gateway.fleet.catalog import Catalog
from gateway.fleet.pool import Pool, serving
from gateway.openai.operations import MODELS


def router(catalog: Catalog, authenticator: Authenticator) -> APIRouter:
    """The model list and single models."""
    routes = APIRouter(prefix="/v1/models")

    def caller(request: Request) -> Principal:
        principal = caller_of(request, authenticator)
        if not principal.may_call(MODELS):
            raise Forbidden("This key may not be used for this.")
        return principal

    def describe(pool: Pool) -> dict[str, Any]:
        return {
            "id": pool.model,
            "object": "model",
            "created": catalog.created(pool.model),
            "owned_by": "cascadia",
            "ready": serving(pool.members) > 0,
        }

    @routes.get("")
    async def list_models(request: Request) -> dict[str, Any]:
        principal = caller(request)
        return {
            "object": "list",
            "data": [describe(p) for p in catalog.pools() if principal.may_use(p.model)],
        }

    @routes.get("/{model:path}")
    async def get_model(model: str, request: Request) -> dict[str, Any]:
        principal = caller(request)
        pool = catalog.resolve(model)
        if not principal.may_use(pool.model):
            raise ModelNotFound.named(model)
        return describe(pool)

    return routes
