"""What questions in OpenAI's shape about usage and costs have in common: who sees what, buckets of time, pages of them.

OpenAI's projects are our teams. A caller who came to administer sees as far as its role reaches.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from fastapi import Query, Request, Response

from gateway.api.callers import caller_of
from gateway.api.names import narrowed
from gateway.auth.base import Authenticator
from gateway.core.call import Principal, Reach
from gateway.core.errors import Forbidden, InvalidRequest
from gateway.ledger.usage import Line, Question, answer
from gateway.openai.operations import USAGE
from gateway.store import Database

MOST_LINES = 10_000
"""Lines of one answer: more would be megabytes, and a moment in which nothing else is done."""
_MOST_NAMES = 100
_PAGE = "page_"
_LATEST = 253_402_300_799
"""The end of the year 9999, in Unix seconds."""

Time = Annotated[int, Query(ge=0, le=_LATEST)]
Many = Annotated[list[str] | None, Query(max_length=_MOST_NAMES)]
PageName = Annotated[str | None, Query(max_length=64)]


@dataclass(frozen=True, slots=True)
class Page:
    """The buckets of one answer."""

    starts: range
    """When each begins, in Unix seconds."""
    has_more: bool


def asker_of(request: Request, authenticator: Authenticator) -> Principal:
    """Who asks. Raises `Forbidden` where its key is for other operations, and as `caller_of`."""
    principal = caller_of(request, authenticator)
    if principal.role is None and not principal.may_call(USAGE):
        raise Forbidden("This key may not be used for this.")
    return principal


def page_of(start: int, end: int, width: int, size: int, page: str | None) -> Page:
    """As many buckets of `width` seconds as `size` from `start` on, or from where `page` says; none after `end`.

    Raises `InvalidRequest`.
    """
    if end <= start:
        raise InvalidRequest("The end is not after the start.", param="end_time")
    first = start - start % width if page is None else _at(page, width)
    last = min(first + size * width, end + -end % width)
    return Page(range(first, last, width), has_more=last < end)


def named(request: Request, names: Iterable[str], given: Mapping[str, Any]) -> dict[str, list[str]]:
    """Parameter → what it is given, also as `name[]`, which is how OpenAI's clients write lists.

    Raises `InvalidRequest` for too many.
    """
    found = {}
    for name in names:
        found[name] = [*(given[name] or ()), *request.query_params.getlist(f"{name}[]")]
        if len(found[name]) > _MOST_NAMES:
            raise InvalidRequest(f"At most {_MOST_NAMES} names.", param=name)
    return found


def each_once(*lists: Sequence[str] | None) -> tuple[str, ...]:
    """What the lists hold together, in order."""
    return tuple(dict.fromkeys(name for names in lists for name in names or ()))


def grouped(groups: Iterable[str], by: Sequence[str], line: Line) -> dict[str, str | None]:
    """All `groups` of a result: what `line` has for those it was grouped `by`, nothing for the others."""
    return {
        **dict.fromkeys(groups),
        **{name: value or None for name, value in zip(by, line.group, strict=True)},
    }


async def lines_of(
    database: Database,
    principal: Principal,
    page: Page,
    by: tuple[str, ...],
    given: Mapping[str, Sequence[str]],
    columns: Mapping[str, str],
) -> list[Line]:
    """The sums that `principal` may see, by the ledger's groups `by`, of what is `given` by parameter; `columns` are theirs.

    Raises `InvalidRequest`, and `StoreUnavailable`.
    """
    question = Question(
        start=page.starts.start,
        end=page.starts.stop,
        width=page.starts.step,
        by=by,
        only={**narrowed(given, columns), **_seen_by(principal, given["project_ids"])},
        models=None if principal.models is None else tuple(sorted(principal.models)),
        model_prefixes=principal.model_prefixes,
        most=MOST_LINES + 1,
    )
    lines = await answer(database, question)
    if len(lines) > MOST_LINES:
        raise InvalidRequest(
            f"More than {MOST_LINES} lines: ask for fewer buckets at once, or narrow it down.", param="limit"
        )
    return lines


async def response_of(
    page: Page, lines: Sequence[Line], result: Callable[[Line], dict[str, Any]]
) -> Response:
    """The page, with the `result` of each line. Lines may be many: they are written beside the event loop."""
    body = await asyncio.to_thread(encoded, page, lines, result)
    return Response(body, media_type="application/json")


def encoded(page: Page, lines: Sequence[Line], result: Callable[[Line], dict[str, Any]]) -> bytes:
    """The page as JSON."""
    results: dict[int, list[dict[str, Any]]] = {}
    for line in lines:
        results.setdefault(line.start, []).append(result(line))
    return msgspec.json.encode(
        {
            "object": "page",
            "data": [
                {
                    "object": "bucket",
                    "start_time": start,
                    "end_time": start + page.starts.step,
                    "results": results.get(start, []),
                }
                for start in page.starts
            ],
            "has_more": page.has_more,
            "next_page": f"{_PAGE}{page.starts.stop}" if page.has_more else None,
        }
    )


def _seen_by(principal: Principal, wanted: Sequence[str]) -> dict[str, list[str]]:
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
