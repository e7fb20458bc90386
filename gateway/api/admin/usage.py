"""Usage as the ledger has it: sums by time and by whose it was, of everybody."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel

from gateway.api.admin.door import AdminRoute, needs
from gateway.api.names import narrowed
from gateway.core.call import Role
from gateway.core.errors import InvalidRequest
from gateway.ledger.usage import DAY, Line, Question, answer
from gateway.store import Database

_WIDTHS = {"hour": 3600, "day": DAY, "all": None}
_MOST_BUCKETS = 1000
_MOST_LINES = 10_000
_LATEST = 253_402_300_799
"""The end of the year 9999, in Unix seconds."""

Time = Annotated[int | None, Query(ge=0, le=_LATEST)]
Group = Literal["organisation", "team", "user", "key_id", "model"]
Names = Annotated[list[str] | None, Query(max_length=100)]


class Sum(BaseModel):
    """One sum. `start` is when its bucket begins, in Unix seconds."""

    start: int
    group: dict[str, str]
    requests: int
    failed: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    estimated: int
    """Requests whose tokens are estimates."""
    cost: float
    """In the currency of `prices`, of requests whose model has a price."""


class Sums(BaseModel):
    """By time, then by group."""

    data: list[Sum]


def router(route_class: type[AdminRoute], database: Database, *, now: Callable[[], float]) -> APIRouter:
    """The one route. `now` gives Unix seconds."""
    routes = APIRouter(route_class=route_class, tags=["usage"])

    @routes.get("/admin/usage", openapi_extra=needs(Role.VIEWER, "usage.read"))
    async def read_usage(
        start: Time = None,
        end: Time = None,
        width: Literal["hour", "day", "all"] = "all",
        by: Annotated[list[Group] | None, Query()] = None,
        organisation: Names = None,
        team: Names = None,
        user: Names = None,
        key_id: Names = None,
        model: Names = None,
    ) -> Sums:
        """Sum up usage from `start` until `end`, which is not in it; by default the last 30 days, in UTC.

        By days, and all in one, whole days count. `by`, and each name, can be repeated.
        """
        last = int(now()) + 1 if end is None else end
        first = max(0, last - last % DAY - 30 * DAY) if start is None else start
        if last <= first:
            raise InvalidRequest("The end is not after the start.", param="end")
        seconds = _WIDTHS[width]
        if seconds is not None and (last - first) / seconds > _MOST_BUCKETS:
            raise InvalidRequest(f"At most {_MOST_BUCKETS} buckets at once.", param="start")
        given = {"organisation": organisation, "team": team, "user": user, "key_id": key_id, "model": model}
        groups = tuple(dict.fromkeys(by or ()))
        question = Question(
            start=first - first % (seconds or DAY),
            end=last,
            width=seconds,
            by=groups,
            only=narrowed(given, {}),
            most=_MOST_LINES + 1,
        )
        lines = await answer(database, question)
        if len(lines) > _MOST_LINES:
            raise InvalidRequest(
                f"More than {_MOST_LINES} lines: ask for a shorter time, or narrow it down.", param="start"
            )
        return Sums(data=[_sum(groups, line) for line in lines])

    return routes


def _sum(groups: tuple[str, ...], line: Line) -> Sum:
    return Sum(
        start=line.start,
        group=dict(zip(groups, line.group, strict=True)),
        requests=line.requests,
        failed=line.failed,
        prompt_tokens=line.prompt_tokens,
        cached_tokens=line.cached_tokens,
        completion_tokens=line.completion_tokens,
        estimated=line.estimated,
        cost=line.cost / 1_000_000,
    )
