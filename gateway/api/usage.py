"""`GET /v1/organization/usage/completions`: usage in OpenAI's shape, of the caller's own team."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response

from gateway.api.buckets import (
    Many,
    PageName,
    Time,
    asker_of,
    each_once,
    grouped,
    lines_of,
    named,
    page_of,
    response_of,
)
from gateway.auth.base import Authenticator
from gateway.core.errors import InvalidRequest
from gateway.ledger.usage import Line
from gateway.store import Database

_WIDTHS = {"1m": 60, "1h": 3600, "1d": 86_400}
_LIMITS = {"1m": (60, 1440), "1h": (24, 168), "1d": (7, 31)}
"""Buckets of a page when nothing is said, and at most, as OpenAI has them."""
_GROUPS = {"project_id": "team", "user_id": "user", "api_key_id": "key_id", "model": "model"}
_COLUMNS = {"project_ids": "team", "user_ids": "user", "api_key_ids": "key_id", "models": "model"}

Group = Literal["project_id", "user_id", "api_key_id", "model"]


def router(database: Database, authenticator: Authenticator, *, now: Callable[[], float]) -> APIRouter:
    """The one route."""
    routes = APIRouter()

    @routes.get("/v1/organization/usage/completions")
    async def completions(
        request: Request,
        start_time: Time,
        end_time: Time | None = None,
        bucket_width: Literal["1m", "1h", "1d"] = "1d",
        group_by: Annotated[list[Group] | None, Query()] = None,
        more_group_by: Annotated[list[Group] | None, Query(alias="group_by[]")] = None,
        project_ids: Many = None,
        user_ids: Many = None,
        api_key_ids: Many = None,
        models: Many = None,
        limit: Annotated[int | None, Query(ge=1)] = None,
        page: PageName = None,
    ) -> Response:
        principal = asker_of(request, authenticator)
        usual, most = _LIMITS[bucket_width]
        if limit is not None and limit > most:
            raise InvalidRequest(f"At most {most} buckets of {bucket_width} at once.", param="limit")
        end = int(now()) + 1 if end_time is None else end_time
        found = page_of(start_time, end, _WIDTHS[bucket_width], limit or usual, page)
        by = each_once(group_by, more_group_by)
        given = {
            "project_ids": project_ids,
            "user_ids": user_ids,
            "api_key_ids": api_key_ids,
            "models": models,
        }
        lines = await lines_of(
            database,
            principal,
            found,
            tuple(_GROUPS[name] for name in by),
            named(request, _COLUMNS, given),
            _COLUMNS,
        )
        return await response_of(found, lines, lambda line: _result(by, line))

    return routes


def _result(by: tuple[str, ...], line: Line) -> dict[str, Any]:
    return {
        "object": "organization.usage.completions.result",
        "input_tokens": line.prompt_tokens,
        "output_tokens": line.completion_tokens,
        "input_cached_tokens": line.cached_tokens,
        "num_model_requests": line.requests,
        **grouped(_GROUPS, by, line),
        "batch": None,
    }
