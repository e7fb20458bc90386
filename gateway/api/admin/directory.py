"""Organisations, teams, users and keys over HTTP. What is allowed and makes sense is the directory's to say.

Each object has a version, which is its `ETag`. Who changes or deletes one names the version they have read, in `If-Match`:
without it the answer is 428, and 412 when somebody else was quicker.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request, Response

from gateway.api.admin.door import AdminRoute, Visit, needs, visit_of
from gateway.auth.directory.directory import Directory
from gateway.auth.directory.fields import CHANGEABLE, SETTABLE
from gateway.auth.directory.records import Kind, Record
from gateway.auth.directory.rules import Actor
from gateway.auth.keys import NewKey
from gateway.auth.private import KeyFileError
from gateway.core.call import Role
from gateway.core.errors import InvalidJson, InvalidRequest, PreconditionRequired, StoreUnavailable

_VERSION = re.compile(r'"(\d{1,18})"')
_CREATED = 201
_USUAL_OVERLAP = 86_400.0
_encode = msgspec.json.Encoder().encode


def router(route_class: type[AdminRoute], directory: Directory) -> APIRouter:
    """The routes of all four kinds."""
    routes = APIRouter(prefix="/admin", route_class=route_class)
    for kind in Kind:
        _Routes(routes, directory, kind).add()
    return routes


class _Routes:
    """The routes of one kind."""

    def __init__(self, routes: APIRouter, directory: Directory, kind: Kind) -> None:
        self._routes = routes
        self._directory = directory
        self._kind = kind

    def add(self) -> None:
        kind, writes = self._kind, Role.OPERATOR if self._kind is Kind.KEY else Role.ADMIN
        self._add("GET", "", self._list, Role.VIEWER, "list", f"List the {kind.value} within your reach.")
        self._add("GET", "/{name}", self._read, Role.VIEWER, "read", f"Show one of the {kind.value}.")
        self._add("POST", "", self._create, writes, "create", _MAKES[kind], SETTABLE[kind])
        self._add(
            "PATCH", "/{name}", self._update, writes, "update", "Change fields of it.", CHANGEABLE[kind]
        )
        self._add("DELETE", "/{name}", self._delete, writes, "delete", "Delete it.")
        if kind is Kind.KEY:
            self._add(
                "POST",
                "/{name}/rotate",
                self._rotate,
                writes,
                "rotate",
                "Give it another text, shown once. The old one works for `overlap` seconds more.",
                frozenset({"overlap"}),
            )
            self._add("POST", "/{name}/revoke", self._revoke, writes, "revoke", "Refuse it from now on.")

    def _add(
        self,
        method: str,
        path: str,
        endpoint: Callable[..., Awaitable[Response]],
        role: Role,
        verb: str,
        summary: str,
        fields: frozenset[str] = frozenset(),
    ) -> None:
        name = self._kind.value
        extra = needs(role, f"{name}.{verb}", is_scoped=True)
        if fields:
            properties: dict[str, Any] = {field: {} for field in sorted(fields)}
            schema = {"type": "object", "additionalProperties": False, "properties": properties}
            extra["requestBody"] = {"content": {"application/json": {"schema": schema}}}
        self._routes.add_api_route(
            f"/{name}{path}",
            endpoint,
            methods=[method],
            name=f"{verb}_{name}",
            summary=summary,
            openapi_extra=extra,
            response_model=None,
            tags=[name],
        )

    async def _list(
        self,
        request: Request,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        cursor: Annotated[str | None, Query(max_length=256)] = None,
    ) -> Response:
        """In the order of their ids: what is made or deleted between two pages moves no other."""
        records = sorted(self._directory.list(self._actor(request), self._kind), key=lambda each: each.id)
        rest = [each for each in records if cursor is None or each.id > cursor]
        more = rest[limit - 1].id if len(rest) > limit else None
        return _json({"data": [shown(each) for each in rest[:limit]], "next_cursor": more})

    async def _read(self, request: Request, name: str) -> Response:
        return _of(self._directory.read(self._actor(request), self._kind, name))

    async def _create(self, request: Request) -> Response:
        actor, visit, fields = self._actor(request), visit_of(request), await _fields(request)
        visit.object = self._kind.value
        made: NewKey | Record
        if self._kind is Kind.KEY:
            made = await _done(self._directory.create_key(actor, fields))
        else:
            made = await _done(self._directory.create(actor, self._kind, fields))
        return self._changed(visit, None, made, status=_CREATED)

    async def _update(self, request: Request, name: str) -> Response:
        visit, before, expected = self._before(request, name)
        fields = await _fields(request)
        after = await _done(
            self._directory.update(self._actor(request), self._kind, name, fields, expected=expected)
        )
        return self._changed(visit, before, after)

    async def _delete(self, request: Request, name: str) -> Response:
        visit, before, expected = self._before(request, name)
        await _done(self._directory.delete(self._actor(request), self._kind, name, expected=expected))
        visit.before = shown(before)
        return Response(status_code=204)

    async def _rotate(self, request: Request, name: str) -> Response:
        visit, before, expected = self._before(request, name)
        fields = await _fields(request, may_be_empty=True)
        if unknown := fields.keys() - {"overlap"}:
            raise InvalidRequest(f"{min(unknown)!r} is not a field of this.", param=min(unknown))
        overlap = fields.get("overlap", _USUAL_OVERLAP)
        if isinstance(overlap, bool) or not isinstance(overlap, int | float):
            raise InvalidRequest("overlap: expected seconds", param="overlap")
        new = await _done(
            self._directory.rotate_key(self._actor(request), name, overlap=overlap, expected=expected)
        )
        return self._changed(visit, before, new)

    async def _revoke(self, request: Request, name: str) -> Response:
        visit, before, expected = self._before(request, name)
        after = await _done(self._directory.revoke_key(self._actor(request), name, expected=expected))
        return self._changed(visit, before, after)

    def _before(self, request: Request, name: str) -> tuple[Visit, Record, int]:
        """What a change is about, as it is now, and the version that the caller has read."""
        visit = visit_of(request)
        visit.object = f"{self._kind.value}/{name}"
        record = self._directory.read(self._actor(request), self._kind, name)
        return visit, record, _expected(request)

    def _actor(self, request: Request) -> Actor:
        visit = visit_of(request)
        if visit.principal is not None:
            return self._directory.actor(visit.principal)
        return Actor(visit.name, visit.role)

    def _changed(
        self, visit: Visit, before: Record | None, made: NewKey | Record, *, status: int = 200
    ) -> Response:
        record = made.record if isinstance(made, NewKey) else made
        visit.object = f"{self._kind.value}/{record.id}"
        visit.before = None if before is None else shown(before)
        visit.after = shown(record)
        return _of(record, {"key": made.text} if isinstance(made, NewKey) else {}, status=status)


_MAKES: Mapping[Kind, str] = {
    Kind.ORGANISATION: "Make an organisation.",
    Kind.TEAM: "Make a team.",
    Kind.USER: "Make a user or a service account.",
    Kind.KEY: "Make an API key. Its text is in the answer, this once.",
}


def shown(record: Record) -> dict[str, Any]:
    """All fields of a record but the digests of a key."""
    return {
        name: msgspec.to_builtins(getattr(record, name))
        for name in record.__struct_fields__
        if name != "secrets"
    }


def _of(record: Record, more: Mapping[str, Any] | None = None, *, status: int = 200) -> Response:
    response = _json({**shown(record), **(more or {})}, status=status)
    response.headers["etag"] = f'"{record.version}"'
    return response


def _json(content: Mapping[str, Any], *, status: int = 200) -> Response:
    return Response(_encode(content), status_code=status, media_type="application/json")


def _expected(request: Request) -> int:
    given = request.headers.getlist("if-match")
    if not given:
        raise PreconditionRequired(
            'Say which version you have read: send its ETag as If-Match, such as If-Match: "3".'
        )
    match = _VERSION.fullmatch(given[0])
    if match is None or len(given) > 1:
        raise InvalidRequest('If-Match: expected one ETag of this object, such as "3".', param="if-match")
    return int(match[1])


async def _fields(request: Request, *, may_be_empty: bool = False) -> dict[str, Any]:
    body = await request.body()
    if not body and may_be_empty:
        return {}
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidJson("The request body is not a JSON object.") from None


async def _done(work: Awaitable[Any]) -> Any:
    try:
        return await work
    except KeyFileError as error:
        raise StoreUnavailable("The directory cannot be written now.", retry_after=5) from error
