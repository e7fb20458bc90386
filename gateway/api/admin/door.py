"""The one way into the administration: who is calling, whether they may, and what is written down of it.

A route says what it asks of its caller when it is made (`needs`); one that does not is refused when the application is
built (`check_routes`), so that no route can be open by an oversight. Every change is in the audit
log twice: that it begins, before anything is changed, and how it went, before it is answered. While that cannot be written,
nothing is changed. A call that is turned away is there before it is answered; of those that nobody known made, which
anybody can make without end, one a minute and address.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.types import Message

from gateway.api.admin.together import of_all
from gateway.api.admin.unknown import UnknownCallers
from gateway.api.callers import credential_of
from gateway.api.errors import answer
from gateway.audit import AuditError, AuditLog, Deed
from gateway.audit.entry import BEGUN, state_hash
from gateway.auth.base import Authenticator
from gateway.auth.directory.rules import actor_name
from gateway.auth.root import SecretError
from gateway.auth.tokens import PREFIX, RANKS, TokenFile, TokenFileError
from gateway.core.call import ANONYMOUS, Principal, Reach, Role
from gateway.core.errors import (
    AuditUnavailable,
    BodyTooLarge,
    Forbidden,
    GatewayError,
    InvalidRequest,
    Unauthenticated,
)
from gateway.siblings.spread import Spread

MAX_BODY_BYTES = 64 * 1024
READING = frozenset({"GET", "HEAD"})
OPEN_PATHS = frozenset({"/livez", "/readyz", "/metrics"})
"""What needs no credential on the admin listener: what probes and scrapers ask."""

_ROLE, _ACTION, _SCOPED = "x-cascadia-role", "x-cascadia-action", "x-cascadia-scoped"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")

log = logging.getLogger(__name__)


class UndeclaredPermission(Exception):
    """A route does not say who may call it: the application must not start."""


@dataclass(slots=True)
class Visit:
    """One call of the administration. A route that changes something says here what, and from what to what."""

    name: str
    role: Role
    request_id: str
    address: str | None
    principal: Principal | None = None
    """Who came with a key of the directory, and not with an admin token."""
    object: str | None = None
    before: Any = None
    after: Any = None


def visit_of(request: Request) -> Visit:
    """The visit that `request` is; for routes."""
    visit: Visit = request.scope["visit"]
    return visit


def needs(role: Role, action: str, *, is_scoped: bool = False) -> dict[str, Any]:
    """What a route gives as `openapi_extra`: the least role that may call it, and what the audit calls it.

    A route that is not scoped shows or changes what belongs to all: it takes a role over everything. One that is scoped
    looks at the reach of its caller itself.
    """
    return {_ROLE: role.value, _ACTION: action, _SCOPED: is_scoped, "security": [{"token": []}]}


class AdminRoute(APIRoute):
    """A route behind the door. Made by `Door.route_class`."""

    door: Door

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The route within the door."""
        inner = super().get_route_handler()
        role, action = declared(self)
        is_scoped = bool((self.openapi_extra or {}).get(_SCOPED))

        async def handle(request: Request) -> Response:
            spread = self.door.spread
            asked = inner if spread is None else of_all(spread, self.path_format, inner)
            return await self.door.pass_through(request, asked, role, action, is_scoped=is_scoped)

        return handle


def declared(route: APIRoute) -> tuple[Role, str]:
    """What a route declares. Raises `UndeclaredPermission`."""
    extra = route.openapi_extra or {}
    try:
        return Role(extra[_ROLE]), extra[_ACTION]
    except (KeyError, ValueError):
        raise UndeclaredPermission(
            f"{sorted(route.methods or ())} {route.path} does not declare who may call it"
        ) from None


def check_routes(app: FastAPI) -> None:
    """Raises `UndeclaredPermission` when a route of the built application is neither behind the door nor known as open."""
    for route in app.routes:
        path = getattr(route, "path", None)
        if isinstance(route, AdminRoute):
            declared(route)
        elif path not in OPEN_PATHS or not READING.issuperset(getattr(route, "methods", None) or {"ANY"}):
            raise UndeclaredPermission(f"{route!r} does not declare who may call it")


class Door:
    """Knows the tokens and writes the audit log. `clock` gives seconds of any origin."""

    def __init__(
        self, tokens: TokenFile, authenticator: Authenticator, audit: AuditLog, clock: Callable[[], float]
    ) -> None:
        self._tokens = tokens
        self._authenticator = authenticator
        self._audit = audit
        self._unknown = UnknownCallers(clock)
        self.denied = 0
        """Calls that were turned away since the start."""
        self.spread: Spread | None = None
        """Asks the other processes of this service; `None` where there is no other."""

    def route_class(self) -> type[AdminRoute]:
        """The class of the routes behind this door."""
        return type("AdminRoute", (AdminRoute,), {"door": self})

    async def pass_through(
        self,
        request: Request,
        inner: Callable[[Request], Coroutine[Any, Any, Response]],
        role: Role,
        action: str,
        *,
        is_scoped: bool,
    ) -> Response:
        """Let one call in, or answer why not."""
        visit = Visit("-", Role.VIEWER, _request_id(request), request.client.host if request.client else None)
        is_known = False
        try:
            await self._recognise(visit, credential_of(request))
            is_known = True
            if visit.principal is not None and visit.principal.role is None:
                raise Forbidden("This key is not for the administration.")
            if RANKS.index(visit.role) < RANKS.index(role):
                raise Forbidden(f"The role {visit.role} may not do this: it takes {role}.")
            if (
                visit.principal is not None
                and not is_scoped
                and visit.principal.reach is not Reach.EVERYTHING
            ):
                raise Forbidden("This concerns all teams: it takes a role over everything.")
        except (TokenFileError, SecretError) as error:
            log.warning("admin tokens cannot be read", extra={"error": str(error)})
            return self._answer(visit, AuditUnavailable("The admin tokens cannot be read.", retry_after=5))
        except GatewayError as error:
            self.denied += 1
            visit.object = request.url.path
            if not is_known:
                kept_back = self._unknown.count(visit.address)
                if kept_back is None:
                    return self._answer(visit, error)
                if kept_back:
                    visit.object += f" (and {kept_back} more since the entry before)"
            return self._answer(
                visit, await self._record(visit, action, error.code, is_known=is_known) or error
            )
        if request.method in READING:
            return (await self._served(visit, request, inner))[0]
        return await self._changed(visit, request, inner, action)

    async def _recognise(self, visit: Visit, credential: bytes | None) -> None:
        """Say who is visiting: the holder of an admin token, or of a key of the directory.

        Raises `Unauthenticated`, and `TokenFileError` or `SecretError` when nobody can be known.
        """
        if credential is None or credential.startswith(PREFIX.encode()):
            record = await asyncio.to_thread(self._tokens.authenticate, credential)
            visit.name, visit.role = f"token:{record.id}", record.role
            return
        principal = self._authenticator.authenticate(credential, visit.address)
        if principal is ANONYMOUS:  # everybody may infer; nobody may administer without a token
            raise Unauthenticated("The admin token is not valid.")
        visit.principal = principal
        visit.name, visit.role = actor_name(principal), principal.role or Role.VIEWER

    async def _served(
        self, visit: Visit, request: Request, inner: Callable[[Request], Coroutine[Any, Any, Response]]
    ) -> tuple[Response, str]:
        """The answer, and how the call went as the audit has it."""
        request.scope["visit"] = visit
        try:
            response = await inner(request)
        except RequestValidationError as error:
            return self._answer(visit, _invalid(error)), "invalid_request"
        except GatewayError as error:
            return self._answer(visit, error), error.code or "error"
        response.headers["x-request-id"] = visit.request_id
        response.headers["cache-control"] = "no-store"
        return response, "ok"

    async def _changed(
        self,
        visit: Visit,
        request: Request,
        inner: Callable[[Request], Coroutine[Any, Any, Response]],
        action: str,
    ) -> Response:
        try:
            request = await _with_body(request)
        except GatewayError as error:
            return self._answer(visit, await self._record(visit, action, error.code) or error)
        visit.object = request.url.path
        if (failure := await self._record(visit, action, BEGUN)) is not None:
            return self._answer(visit, failure)
        visit.object = None
        try:
            response, outcome = await self._served(visit, request, inner)
        except Exception:
            await self._record(visit, action, "internal_error")
            raise
        failure = await self._record(visit, action, outcome)
        return response if failure is None else self._answer(visit, failure)

    async def _record(
        self, visit: Visit, action: str, outcome: str | None, *, is_known: bool = True
    ) -> GatewayError | None:
        """Write down what happened; an error to answer instead when that fails."""
        deed = Deed(
            actor=visit.name,
            role=visit.role.value if is_known else None,
            action=action,
            object=visit.object,
            before=state_hash(visit.before),
            after=state_hash(visit.after),
            address=visit.address,
            request_id=visit.request_id,
            outcome=outcome or "error",
        )
        try:
            await asyncio.to_thread(self._audit.append, deed)
        except AuditError as error:
            return _unavailable(error)
        return None

    @staticmethod
    def _answer(visit: Visit, error: GatewayError) -> Response:
        response = answer(error)
        response.headers["x-request-id"] = visit.request_id
        if isinstance(error, Unauthenticated):
            response.headers["www-authenticate"] = "Bearer"
        return response


def _unavailable(error: AuditError) -> AuditUnavailable:
    log.warning("audit log cannot be written", extra={"error": str(error)})
    return AuditUnavailable("The audit log cannot be written.", retry_after=5)


def _request_id(request: Request) -> str:
    wanted = request.headers.get("x-request-id", "")
    return wanted if _REQUEST_ID.fullmatch(wanted) else f"req-{secrets.token_hex(12)}"


async def _with_body(request: Request) -> Request:
    """The same request with its body read, within the cap. Raises `BodyTooLarge`."""
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > MAX_BODY_BYTES:
            raise BodyTooLarge(f"The request body is larger than the {MAX_BODY_BYTES} bytes allowed.")
        parts.append(part)
    message: Message = {"type": "http.request", "body": b"".join(parts), "more_body": False}

    async def receive() -> Message:
        return message

    return Request(request.scope, receive)


def _invalid(error: RequestValidationError) -> InvalidRequest:
    """The first thing that is wrong, with the name of its field."""
    first: dict[str, Any] = next(iter(error.errors()))
    place: Iterable[Any] = first.get("loc", ())
    names = [str(part) for part in place if part not in {"query", "body", "path", "header"}]
    field = ".".join(names) or None
    return InvalidRequest(f"{field or 'body'}: {first.get('msg', 'is wrong')}", param=field)
