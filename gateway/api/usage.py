"""`GET /v1/organization/usage/completions`: usage in OpenAI's shape, of the caller's own team.

OpenAI's projects are our teams. A caller who came to administer sees as far as its role reaches.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Query, Request, Response

from gateway.api.callers import caller_of
from gateway.api.names import narrowed
from gateway.auth.base import Authenticator
from gateway.core.call import Principal, Reach
from gateway.core.errors import Forbidden, InvalidRequest
from gateway.ledger.usage import Line, Question, answer
from gateway.openai.operations import USAGE
from gateway.store import Database

_WIDTHS = {"1m": 60, "1h": 3600, "1d": 86_400}
_LIMITS = {"1m": (60, 1440), "1h": (24, 168), "1d": (7, 31)}
"""Buckets of a page when nothing is said, and at most, as OpenAI has them."""
_GROUPS = {"project_id": "team", "user_id": "user", "api_key_id": "key_id", "model": "model"}
_COLUMNS = {"project_ids": "team", "user_ids": "user", "api_key_ids": "key_id", "models": "model"}
_MOST_LINES = 10_000
"""Lines of one answer: more would be megabytes, and a moment in which nothing else is done."""
_PAGE = "page_"
_LATEST = 253_402_300_799
"""The end of the year 9999, in Unix seconds."""

Time = Annotated[int, Query(ge=0, le=_LATEST)]
Group = Literal["project_id", "user_id", "api_key_id", "model"]
Many = Annotated[list[str] | None, Query(max_length=100)]


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
        page: Annotated[str | None, Query(max_length=64)] = None,
    ) -> Response:
        principal = _caller(request, authenticator)
        width, (usual, most) = _WIDTHS[bucket_width], _LIMITS[bucket_width]
        if limit is not None and limit > most:
            raise InvalidRequest(f"At most {most} buckets of {bucket_width} at once.", param="limit")
        end = int(now()) + 1 if end_time is None else end_time
        if end <= start_time:
            raise InvalidRequest("The end is not after the start.", param="end_time")
        first = start_time - start_time % width if page is None else _at(page, width)
        last = min(first + (limit or usual) * width, end + -end % width)
        by = tuple(dict.fromkeys([*(group_by or ()), *(more_group_by or ())]))
        given = {
            "project_ids": project_ids,
            "user_ids": user_ids,
            "api_key_ids": api_key_ids,
            "models": models,
        }
        question = Question(
            start=first,
            end=last,
            width=width,
            by=tuple(_GROUPS[name] for name in by),
            only={**narrowed(given, _COLUMNS), **_seen_by(principal, project_ids)},
            models=None if principal.models is None else tuple(sorted(principal.models)),
            model_prefixes=principal.model_prefixes,
            most=_MOST_LINES + 1,
        )
        lines = await answer(database, question)
        if len(lines) > _MOST_LINES:
            raise InvalidRequest(
                f"More than {_MOST_LINES} lines: ask for fewer buckets at once, or narrow it down.",
                param="limit",
            )
        body = await asyncio.to_thread(_page, range(first, last, width), by, lines, has_more=last < end)
        return Response(body, media_type="application/json")

    return routes


def _caller(request: Request, authenticator: Authenticator) -> Principal:
    principal = caller_of(request, authenticator)
    if principal.role is None and not principal.may_call(USAGE):
        raise Forbidden("This key may not be used for this.")
    return principal


def _seen_by(principal: Principal, wanted: list[str] | None) -> dict[str, list[str]]:
    """What narrows a question to what the caller may see."""
    if principal.role is not None and principal.reach is Reach.EVERYTHING:
        return {}
    if principal.role is not None and principal.reach is Reach.ORGANISATION:
        return {"organisation": [principal.organisation]}
    is_asked = not wanted or principal.tenant in wanted
    return {"organisation": [principal.organisation], "team": [principal.tenant] if is_asked else []}


def _at(page: str, width: int) -> int:
    number = page.removeprefix(_PAGE)
    if page == number or not number.isascii() or not number.isdigit() or len(number) > 12:  # noqa: PLR2004 - seconds
        raise InvalidRequest("Not a page that `next_page` named.", param="page")
    return int(number) - int(number) % width


def _page(starts: range, by: tuple[str, ...], lines: list[Line], *, has_more: bool) -> bytes:
    """The answer as JSON. `lines` may be many: beside the event loop, please."""
    results: dict[int, list[dict[str, Any]]] = {}
    for line in lines:
        results.setdefault(line.start, []).append(_result(by, line))
    return msgspec.json.encode(
        {
            "object": "page",
            "data": [
                {
                    "object": "bucket",
                    "start_time": start,
                    "end_time": start + starts.step,
                    "results": results.get(start, []),
                }
                for start in starts
            ],
            "has_more": has_more,
            "next_page": f"{_PAGE}{starts.stop}" if has_more else None,
        }
    )


def _result(by: tuple[str, ...], line: Line) -> dict[str, Any]:
    return {
        "object": "organization.usage.completions.result",
        "input_tokens": line.prompt_tokens,
        "output_tokens": line.completion_tokens,
        "input_cached_tokens": line.cached_tokens,
        "num_model_requests": line.requests,
        **dict.fromkeys(_GROUPS),
        **{name: value or None for name, value in zip(by, line.group, strict=True)},
        "batch": None,
    }
