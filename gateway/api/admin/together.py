"""A route of the administration answered for all processes of the service, behind the door of one."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
from fastapi import Request, Response
from fastapi.responses import JSONResponse

from gateway.core.errors import InvalidRequest, NotFound
from gateway.siblings.answers import NOT_FOUND
from gateway.siblings.asking import Answer
from gateway.siblings.spread import BadCursor, Spread

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


def of_all(spread: Spread, template: str, inner: Handler) -> Handler:
    """`inner`, the route of `template`, asked of all processes where what it tells of is each one's own."""

    async def handle(request: Request) -> Response:
        if not spread.concerns(request.method, template):
            return await inner(request)
        missing: NotFound | None = None

        async def own() -> Answer:
            nonlocal missing
            try:
                response = await inner(request)
            except NotFound as error:
                missing = error
                return Answer(NOT_FOUND, None)
            return Answer(response.status_code, msgspec.json.decode(bytes(response.body)))

        body = await request.body()
        query = dict(request.query_params)
        try:
            answer = await spread.answer(request.method, template, request.url.path, query, body, own)
        except BadCursor as error:
            raise InvalidRequest("cursor: expected the next_cursor of a page", param="cursor") from error
        if missing is not None and answer.status == NOT_FOUND:
            raise missing
        return JSONResponse(answer.content, status_code=answer.status)

    return handle
