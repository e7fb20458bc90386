"""Who gets into the administration: every route, every method, every role, out of the table of routes itself."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI

from gateway.api.admin.door import (
    MAX_BODY_BYTES,
    OPEN_PATHS,
    AdminRoute,
    UndeclaredPermission,
    check_routes,
    declared,
    needs,
)
from gateway.api.admin.unknown import UnknownCallers
from gateway.audit import AuditError
from gateway.audit.verify import verify
from gateway.auth.tokens import RANKS
from gateway.core.call import Role
from tests.support.administration import ADDRESS, Administration

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
REFUSED = {401, 403}


def routes(admin: Administration) -> list[AdminRoute]:
    return [route for route in admin.parts.admin.routes if isinstance(route, AdminRoute)]


def filled(path: str) -> str:
    """The path with something in place of its parameters."""
    return "/".join("nothing" if part.startswith("{") else part for part in path.split("/"))


async def test_each_route_lets_in_the_roles_it_declares_and_no_others(admin: Administration) -> None:
    """Routes x methods x roles and nobody: 0 surprises."""
    by_path: dict[str, dict[str, Role]] = {}
    for route in routes(admin):
        for method in route.methods or ():
            by_path.setdefault(route.path, {})[method] = declared(route)[0]
    assert by_path
    surprises = []
    for path, allowed in by_path.items():
        for method in METHODS:
            for role in (None, *Role):
                answer = await admin.ask(method, filled(path), role)
                least = allowed.get(method)
                if least is None:
                    expected = answer.status_code == 405
                elif role is None:
                    expected = answer.status_code == 401
                elif RANKS.index(role) < RANKS.index(least):
                    expected = answer.status_code == 403
                else:
                    expected = answer.status_code not in {*REFUSED, 405, 500}
                if not expected:
                    surprises.append((method, path, role, answer.status_code))
    assert surprises == []


async def test_every_call_that_is_turned_away_is_in_the_audit_log(admin: Administration) -> None:
    denied = 0
    for route in routes(admin):
        role, action = declared(route)
        for method in route.methods or ():
            for caller in [each for each in Role if RANKS.index(each) < RANKS.index(role)]:
                before = len(admin.audited())
                answer = await admin.ask(
                    method, filled(route.path), caller, headers={"x-request-id": f"r{denied}"}
                )
                assert answer.status_code in REFUSED
                denied += 1
                [entry] = admin.audited()[before:]
                assert (entry["action"], entry["object"], entry["address"]) == (
                    action,
                    filled(route.path),
                    ADDRESS,
                )
                assert entry["actor"] == f"token:{admin.tokens[caller].split('_')[1]}"
                assert entry["request_id"] == answer.headers["x-request-id"]
                assert entry["outcome"] == answer.json()["error"]["code"]
    assert denied
    assert verify(admin.parts.audit).problems == []


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer "},
        {"authorization": "Basic eDp5"},
        {"authorization": "Bearer ga_0123456789ab_" + "0" * 64},
        {"authorization": "Bearer ga_" + "é" * 10},
        {"authorization": "Bearer gw_local_abcdefghijkl_" + "A" * 43 + "_000000"},
        {"x-api-key": "TOKEN"},
    ],
    ids=range(7),
)
async def test_what_is_no_token_is_a_401(admin: Administration, headers: dict[str, str]) -> None:
    sent = {
        name: value.replace("TOKEN", admin.tokens[Role.ADMIN]).encode() for name, value in headers.items()
    }
    answer = await admin.ask("GET", "/admin/requests", None, headers=sent)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert list(answer.json()["error"]) == ["message", "type", "param", "code"]


async def test_two_credentials_are_refused(admin: Administration) -> None:
    token = admin.tokens[Role.ADMIN]
    headers = [("authorization", f"Bearer {token}"), ("authorization", f"Bearer {token}")]
    answer = await admin._client.get("/admin/requests", headers=headers)
    assert answer.status_code == 400


async def test_an_api_key_is_no_admin_token_and_the_reverse(admin: Administration, tmp_path: Path) -> None:
    admin_token = admin.tokens[Role.ADMIN]
    with pytest.raises(Exception, match="not valid"):
        admin.parts.proxy.authenticator.authenticate(admin_token.encode())


async def test_a_revoked_token_is_refused_at_once(admin: Administration) -> None:
    from gateway.administration import token_file

    assert (await admin.ask("GET", "/admin/requests", Role.VIEWER)).status_code == 200
    token_file(admin.paths).revoke("viewer")
    assert (await admin.ask("GET", "/admin/requests", Role.VIEWER)).status_code == 401


@pytest.mark.parametrize(
    "path",
    ["/admin", "/admin/", "/admin/requests/", "/admin/%72equests", "//admin/requests", "/admin/requests/../x",
     "/ADMIN/requests", "/docs", "/redoc", "/openapi.json"],
)  # fmt: skip
async def test_no_other_spelling_of_a_path_is_one(admin: Administration, path: str) -> None:
    assert (await admin.ask("GET", path)).status_code == 404


class TestUndeclared:
    def test_a_route_that_declares_nothing_is_refused_when_it_is_made(self, admin: Administration) -> None:
        door_class = type(routes(admin)[0])
        router = APIRouter(route_class=door_class)
        with pytest.raises(UndeclaredPermission):
            router.get("/admin/new")(lambda: None)

    @pytest.mark.parametrize("extra", [{"x-cascadia-role": "root"}, {"x-cascadia-role": "viewer"}])
    def test_nor_one_that_declares_no_role_there_is(
        self, admin: Administration, extra: dict[str, Any]
    ) -> None:
        router = APIRouter(route_class=type(routes(admin)[0]))
        with pytest.raises(UndeclaredPermission):
            router.get("/admin/new", openapi_extra=extra)(lambda: None)

    def test_a_route_past_the_door_stops_the_start(self, admin: Administration) -> None:
        app = admin.parts.admin
        check_routes(app)
        app.get("/admin/new")(lambda: None)
        with pytest.raises(UndeclaredPermission):
            check_routes(app)

    @pytest.mark.parametrize("add", ["mount", "websocket", "include", "write"])
    def test_so_does_what_is_no_route_of_ours(self, add: str) -> None:
        app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
        if add == "mount":
            app.mount("/admin", FastAPI())
        elif add == "websocket":
            app.websocket("/admin")(lambda websocket: None)
        elif add == "include":
            router = APIRouter()
            router.get("/x")(lambda: None)
            app.include_router(router)
        else:
            app.post("/metrics")(lambda: None)
        with pytest.raises(UndeclaredPermission):
            check_routes(app)


async def test_health_and_metrics_need_no_token(admin: Administration) -> None:
    assert {path: (await admin.ask("GET", path, None)).status_code for path in sorted(OPEN_PATHS)} == {
        "/livez": 200,
        "/metrics": 200,
        "/readyz": 503,
    }


async def test_the_description_tells_what_each_route_takes(admin: Administration) -> None:
    described = (await admin.ask("GET", "/admin/openapi.json")).json()
    operation = described["paths"]["/admin/requests"]["get"]
    assert operation["x-cascadia-role"] == "viewer"
    assert described["components"]["securitySchemes"]["token"]["scheme"] == "bearer"


def needs_are_written(door_class: type[AdminRoute]) -> APIRouter:
    router = APIRouter(route_class=door_class)

    @router.post("/admin/probe", openapi_extra=needs(Role.OPERATOR, "probe"))
    async def probe() -> dict[str, str]:
        return {}

    return router


async def test_a_body_is_read_within_its_cap(admin: Administration) -> None:
    router = needs_are_written(type(routes(admin)[0]))
    admin.parts.admin.router.routes.extend(router.routes)
    assert (await admin.ask("POST", "/admin/probe", content=b"x" * MAX_BODY_BYTES)).status_code == 200
    large = await admin.ask("POST", "/admin/probe", content=b"x" * (MAX_BODY_BYTES + 1))
    assert (large.status_code, large.json()["error"]["code"]) == (413, "request_too_large")
    assert [entry["outcome"] for entry in admin.audited()] == ["begun", "ok", "request_too_large"]


async def test_calls_of_nobody_known_are_one_entry_a_minute_and_address(admin: Administration) -> None:
    for _ in range(50):
        assert (await admin.ask("GET", "/admin/requests", None)).status_code == 401
    [entry] = admin.audited()
    assert (entry["actor"], entry["object"], entry["outcome"]) == ("-", "/admin/requests", "invalid_api_key")
    text = (await admin.ask("GET", "/metrics", None)).text
    assert "cascadia_admin_calls_denied 50.0" in text or "cascadia_admin_calls_denied_total 50.0" in text


def test_the_next_entry_tells_how_many_were_left_out_and_addresses_are_bounded() -> None:
    now = [0.0]
    callers = UnknownCallers(lambda: now[0])
    assert [callers.count("a") for _ in range(3)] == [0, None, None]
    assert callers.count("b") == 0
    now[0] = 60.0
    assert [callers.count("a"), callers.count("a")] == [2, None]
    written = [callers.count(str(number)) for number in range(5000)]
    assert written.count(0) <= 1024


async def test_a_change_whose_beginning_cannot_be_written_down_is_not_made(
    admin: Administration, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log can be read, and the disk is full."""

    def full(deed: Any) -> None:
        raise AuditError("the disk is full")

    monkeypatch.setattr(admin.parts.audit, "append", full)
    answer = await admin.ask("POST", "/admin/teams", json={"name": "lab"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "audit_unavailable")
    assert (await admin.ask("GET", "/admin/teams/lab")).status_code == 404


async def test_a_change_that_is_cut_short_leaves_its_beginning(admin: Administration) -> None:
    router = APIRouter(route_class=type(routes(admin)[0]))
    inside = asyncio.Event()

    @router.post("/admin/probe", openapi_extra=needs(Role.OPERATOR, "probe"))
    async def probe() -> None:
        inside.set()
        await asyncio.Event().wait()

    admin.parts.admin.router.routes.extend(router.routes)
    call = asyncio.create_task(admin.ask("POST", "/admin/probe"))
    await asyncio.wait_for(inside.wait(), 5)
    call.cancel()
    await asyncio.wait([call])
    [entry] = admin.audited()
    assert (entry["action"], entry["object"], entry["outcome"]) == ("probe", "/admin/probe", "begun")


async def test_nothing_is_changed_while_the_audit_log_cannot_be_written(
    admin: Administration, caplog: pytest.LogCaptureFixture
) -> None:
    called = []
    router = APIRouter(route_class=type(routes(admin)[0]))

    @router.post("/admin/probe", openapi_extra=needs(Role.OPERATOR, "probe"))
    async def probe() -> dict[str, str]:
        called.append(1)
        return {}

    admin.parts.admin.router.routes.extend(router.routes)
    admin.parts.audit.path.mkdir()
    with caplog.at_level(logging.CRITICAL):
        answer = await admin.ask("POST", "/admin/probe")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "audit_unavailable")
    assert called == []
    assert (await admin.ask("GET", "/admin/requests")).status_code == 200
