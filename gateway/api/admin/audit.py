"""The audit log, newest first."""

from __future__ import annotations

import asyncio
from typing import Annotated

import msgspec
from fastapi import APIRouter, Query
from pydantic import BaseModel

from gateway.api.admin.door import AdminRoute, needs
from gateway.audit import AuditError, AuditLog, Entry
from gateway.audit.entry import LONGEST_FIELD
from gateway.audit.pages import NoSuchPlace, page
from gateway.core.call import Role
from gateway.core.errors import AuditUnavailable, InvalidRequest

Name = Annotated[str | None, Query(max_length=LONGEST_FIELD)]


class Shown(BaseModel):
    """One entry as it is in the log. `at` is the time in UTC (ISO 8601)."""

    seq: int
    at: str
    actor: str
    role: str | None
    action: str
    object: str | None
    before: str | None
    after: str | None
    address: str | None
    request_id: str | None
    outcome: str
    prev: str
    hash: str


class Entries(BaseModel):
    """Some entries, newest first. `next_cursor` is where to go on; a page may hold fewer than were asked for and yet have one."""

    data: list[Shown]
    unreadable: int
    """Lines among those looked at that are no entry: `cascadia audit verify` says which."""
    next_cursor: str | None


def router(route_class: type[AdminRoute], log: AuditLog) -> APIRouter:
    """The one route."""
    routes = APIRouter(route_class=route_class, tags=["audit"])

    @routes.get("/admin/audit", openapi_extra=needs(Role.VIEWER, "audit.list"))
    async def list_audit(
        actor: Name = None,
        action: Name = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 50,
        cursor: Annotated[str | None, Query(max_length=32)] = None,
    ) -> Entries:
        """List who changed what and who was refused, newest first; of one actor, or one action, alone."""

        def wanted(entry: Entry) -> bool:
            return (actor is None or entry.actor == actor) and (action is None or entry.action == action)

        try:
            found = await asyncio.to_thread(page, log, wanted, limit=limit, before=_place(cursor))
        except NoSuchPlace:
            raise _no_cursor() from None
        except AuditError as error:
            raise AuditUnavailable("The audit log cannot be read.", retry_after=5) from error
        return Entries(
            data=[Shown(**msgspec.structs.asdict(entry)) for entry in found.entries],
            unreadable=found.unreadable,
            next_cursor=None if found.next is None else str(found.next),
        )

    return routes


def _place(cursor: str | None) -> int | None:
    if cursor is None:
        return None
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 19):  # noqa: PLR2004 - digits of a file's size
        raise _no_cursor()
    return int(cursor)


def _no_cursor() -> InvalidRequest:
    return InvalidRequest("cursor: expected the next_cursor of a page", param="cursor")
