"""The FastAPI application of the API's listener: what clients may ask besides inference. And what both applications share."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter, FastAPI
from prometheus_client import CollectorRegistry
from prometheus_fastapi_instrumentator import Instrumentator

from gateway.api import errors, models
from gateway.api.paths import ByRawPath
from gateway.auth.base import Authenticator
from gateway.fleet.catalog import Catalog


def public_app(
    catalog: Catalog,
    authenticator: Authenticator,
    health: APIRouter,
    registry: CollectorRegistry,
    more: Sequence[APIRouter] = (),
) -> FastAPI:
    """Models, health and `more` on the API's listener, measured into `registry`."""
    app = bare("Cascadia Gateway")
    app.include_router(models.router(catalog, authenticator))
    for routes in (health, *more):
        app.include_router(routes)
    Instrumentator(registry=registry, should_ignore_untemplated=True).instrument(
        app, metric_namespace="cascadia", metric_subsystem="control"
    )
    return app


def bare(title: str) -> FastAPI:
    """No documentation pages, no redirects: a path is what it is, byte for byte."""
    app = FastAPI(title=title, docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    errors.install(app)
    app.add_middleware(ByRawPath)
    return app
