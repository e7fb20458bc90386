"""`GET /v1/organization/costs`: what usage cost, in OpenAI's shape, of the caller's own team.

OpenAI's line items are our models. Which currency prices are in nobody says, so answers leave it empty.
"""

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
from gateway.ledger.usage import DAY, Line
from gateway.store import Database

_USUAL, _MOST = 7, 180
"""Buckets of a page when nothing is said, and at most, as OpenAI has them."""
_GROUPS = {"project_id": "team", "user_id": "user", "api_key_id": "key_id", "line_item": "model"}
_COLUMNS = {"project_ids": "team", "api_key_ids": "key_id", "line_items": "model"}
_MILLION = 1_000_000

Group = Literal["project_id", "user_id", "api_key_id", "line_item"]


def router(database: Database, authenticator: Authenticator, *, now: Callable[[], float]) -> APIRouter:
    """The one route."""
    routes = APIRouter()

    @routes.get("/v1/organization/costs")
    async def costs(
        request: Request,
        start_time: Time,
        end_time: Time | None = None,
        bucket_width: Literal["1d"] = "1d",  # noqa: ARG001 - there is one, and others are refused
        group_by: Annotated[list[Group] | None, Query()] = None,
        more_group_by: Annotated[list[Group] | None, Query(alias="group_by[]")] = None,
        project_ids: Many = None,
        api_key_ids: Many = None,
        line_items: Many = None,
        limit: Annotated[int, Query(ge=1)] = _USUAL,
        page: PageName = None,
    ) -> Response:
        principal = asker_of(request, authenticator)
        if limit > _MOST:
            raise InvalidRequest(f"At most {_MOST} buckets at once.", param="limit")
        found = page_of(start_time, int(now()) + 1 if end_time is None else end_time, DAY, limit, page)
        by = each_once(group_by, more_group_by)
        given = {"project_ids": project_ids, "api_key_ids": api_key_ids, "line_items": line_items}
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
        "object": "organization.costs.result",
        "amount": {"value": line.cost / _MILLION, "currency": None},
        **grouped(_GROUPS, by, line),
    }
