"""What became of the last calls: one by its id, or all that fit some wishes, newest first."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel

from gateway.api.admin.door import AdminRoute, needs
from gateway.core.call import Role, Tier
from gateway.core.errors import InvalidRequest, NotFound
from gateway.core.outcome import Choice
from gateway.explain import Record, Recorder
from gateway.explain.phases import ended_by, phases

_MOST_ALIKE = 100
"""Calls with one id that are shown: whoever sends the ids may send one very often."""


class Candidate(BaseModel):
    """A replica that was compared with others when one was chosen."""

    replica: str
    score: float
    terms: dict[str, float]


class Attempt(BaseModel):
    """One dispatch. Milliseconds since the call arrived."""

    replica: str
    dispatched_ms: float
    ended_ms: float
    ended: str
    """`ok`, the fault of the engine, or the outcome of the call."""
    candidates: list[Candidate]


class PhaseOf(BaseModel):
    """A part of the call's time."""

    name: str
    begin_ms: float
    ms: float
    replica: str | None


class Left(BaseModel):
    """A model that did not serve the call, and the code of the reason."""

    model: str
    code: str


class Story(BaseModel):
    """One call that is over. `at` is Unix seconds; what ends in `_ms` is milliseconds."""

    id: str
    at: float
    operation: str
    tenant: str | None
    key: str | None
    client: str | None
    model: str | None
    asked: str | None
    stream: bool
    tier: str | None
    deadline_ms: float | None
    outcome: str
    status: int
    code: str | None
    ended_by: str
    replica: str | None
    attempts: int
    duration_ms: float
    queue_ms: float
    first_content_ms: float | None
    prompt_tokens: int | None
    cached_tokens: int | None
    cached_tokens_predicted: int | None
    completion_tokens: int | None


class WholeStory(Story):
    """The same with all that led to its end."""

    left: list[Left]
    phases: list[PhaseOf]
    history: list[Attempt]


class Alike(BaseModel):
    """The calls of one id, newest first: clients may send ids, and so one twice."""

    data: list[WholeStory]


class Stories(BaseModel):
    """Some calls, newest first. `next_cursor` is where to go on."""

    data: list[Story]
    next_cursor: str | None


class Placed(Stories):
    """The same with the place of each, for a sibling that puts the pages of all processes together."""

    places: list[int]


def router(
    route_class: type[AdminRoute],
    recorder: Recorder,
    *,
    clock: Callable[[], float],
    wall_clock: Callable[[], float],
    tells_places: bool = False,
) -> APIRouter:
    """The routes. `clock` is the monotonic one of the records, `wall_clock` gives Unix seconds.

    With `tells_places` the listing says the place of each call too.
    """
    routes = APIRouter(prefix="/admin/requests", route_class=route_class, tags=["requests"])

    def offset() -> float:
        return wall_clock() - clock()

    @routes.get(
        "",
        openapi_extra=needs(Role.VIEWER, "requests.list"),
        response_model=Placed if tells_places else Stories,
    )
    async def list_requests(
        tenant: str | None = None,
        key: str | None = None,
        model: str | None = None,
        outcome: str | None = None,
        replica: str | None = None,
        slower_than_ms: Annotated[float, Query(ge=0)] = 0.0,
        limit: Annotated[int, Query(ge=1, le=1000)] = 50,
        cursor: str | None = None,
    ) -> Stories:
        """List calls that are over, newest first."""
        wishes = {"tenant": tenant, "key": key, "model": model, "outcome": outcome, "replica": replica}
        given = [(name, value) for name, value in wishes.items() if value is not None]

        def wanted(record: Record) -> bool:
            is_slow = (record.ended - record.arrived) * 1e3 >= slower_than_ms
            return is_slow and all(getattr(record, name) == value for name, value in given)

        page = await recorder.page(wanted, limit=limit, before=_place(cursor))
        at = offset()
        return Placed(
            data=[_story(record, at) for _, record in page.records],
            next_cursor=None if page.next is None else str(page.next),
            places=[place for place, _ in page.records],
        )

    @routes.get("/{request_id}", openapi_extra=needs(Role.VIEWER, "requests.read"))
    async def explain_request(request_id: str) -> Alike:
        """Explain the calls of one id."""
        page = await recorder.page(lambda record: record.id == request_id, limit=_MOST_ALIKE)
        if not page.records:
            raise NotFound("No request of that id is remembered: it is not over, too long ago, or never was.")
        at = offset()
        return Alike(data=[_whole(record, at) for _, record in page.records])

    return routes


def _place(cursor: str | None) -> int | None:
    if cursor is None:
        return None
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 20):  # noqa: PLR2004 - digits of 64 bits
        raise InvalidRequest("cursor: expected the next_cursor of a page", param="cursor")
    return int(cursor)


def _story(record: Record, offset: float) -> Story:
    return Story(**_fields(record, offset))


def _whole(record: Record, offset: float) -> WholeStory:
    shown = [
        PhaseOf(
            name=each.name,
            begin_ms=_ms(each.begin - record.arrived),
            ms=_ms(each.end - each.begin),
            replica=each.replica,
        )
        for each in phases(record)
    ]
    left = [Left(model=model, code=code) for model, code in record.left]
    return WholeStory(**_fields(record, offset), left=left, phases=shown, history=list(_history(record)))


def _fields(record: Record, offset: float) -> dict[str, object]:
    fields: dict[str, object] = {
        name: getattr(record, name) for name in Story.model_fields if name in record._fields
    }
    since = record.arrived
    return {
        **fields,
        "at": round(since + offset, 3),
        "tier": None if record.tier is None else Tier(record.tier).name.lower(),
        "deadline_ms": None if record.deadline is None else _ms(record.deadline - since),
        "ended_by": ended_by(record),
        "duration_ms": _ms(record.ended - since),
        "queue_ms": _ms(record.waited),
        "first_content_ms": None if record.first_content is None else _ms(record.first_content - since),
        "cached_tokens_predicted": None if record.choice is None else record.choice.cached_tokens,
    }


def _history(record: Record) -> Iterable[Attempt]:
    since = record.arrived
    for each in record.former:
        yield Attempt(
            replica=each.replica,
            dispatched_ms=_ms(each.dispatched - since),
            ended_ms=_ms(each.ended - since),
            ended=each.why,
            candidates=_candidates(each.choice),
        )
    if record.dispatched is not None and record.replica is not None:
        yield Attempt(
            replica=record.replica,
            dispatched_ms=_ms(record.dispatched - since),
            ended_ms=_ms(record.ended - since),
            ended=record.fault or record.outcome,
            candidates=_candidates(record.choice),
        )


def _candidates(choice: Choice | None) -> list[Candidate]:
    if choice is None:
        return []
    return [
        Candidate(replica=replica, score=score, terms=dict(zip(choice.terms, terms, strict=False)))
        for replica, score, terms in choice.candidates
    ]


def _ms(seconds: float) -> float:
    return round(seconds * 1e3, 3)
