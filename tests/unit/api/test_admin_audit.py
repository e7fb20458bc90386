"""The audit log over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.core.call import Role
from tests.support.administration import Administration


@pytest.fixture
async def busy(admin: Administration) -> Administration:
    """Three teams made, and a viewer turned away."""
    for name in ("a", "b", "c"):
        assert (await admin.ask("POST", "/admin/teams", json={"name": name})).status_code == 201
    assert (await admin.ask("POST", "/admin/teams", Role.VIEWER, json={"name": "d"})).status_code == 403
    return admin


async def asked(admin: Administration, **params: Any) -> Any:
    answer = await admin.ask("GET", "/admin/audit", Role.VIEWER, params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_it_is_what_is_in_the_log_newest_first(busy: Administration) -> None:
    assert await asked(busy) == {"data": busy.audited()[::-1], "unreadable": 0, "next_cursor": None}


async def test_pages_go_on_where_the_one_before_ended(busy: Administration) -> None:
    whole = busy.audited()[::-1]
    seen, cursor = [], {}
    while cursor is not None:
        page = await asked(busy, limit=3, **cursor)
        seen += page["data"]
        await busy.ask("POST", "/admin/teams", Role.VIEWER, json={})  # one more entry
        cursor = None if page["next_cursor"] is None else {"cursor": page["next_cursor"]}
    assert seen == whole


async def test_one_actor_and_one_action_are_shown_alone(busy: Administration) -> None:
    refused = busy.audited()[-1]
    assert (await asked(busy, actor=refused["actor"]))["data"] == [refused]
    await busy.ask("DELETE", "/admin/teams/a", headers={"if-match": '"1"'})
    deleted = (await asked(busy, action="teams.delete"))["data"]
    assert [entry["outcome"] for entry in deleted] == ["ok", "begun"]
    assert (await asked(busy, action="teams.delete", actor=refused["actor"]))["data"] == []


@pytest.mark.parametrize("cursor", ["", "x", "-1", "0", "1", "²", "9" * 18, "9" * 30, "9" * 300])
async def test_what_is_no_cursor_is_a_400(busy: Administration, cursor: str) -> None:
    answer = await busy.ask("GET", "/admin/audit", params={"cursor": cursor})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "cursor")


async def test_a_log_that_cannot_be_read_is_a_503(busy: Administration) -> None:
    busy.parts.audit.path.unlink()
    busy.parts.audit.path.mkdir()
    answer = await busy.ask("GET", "/admin/audit")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "audit_unavailable")
