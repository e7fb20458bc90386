"""What the administration shows and changes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config.schema import Config
from gateway.audit.entry import state_hash
from gateway.audit.verify import verify
from gateway.auth.directory.rules import LOCAL
from gateway.core.call import Role
from gateway.fleet.endpoint import Condition, Sighting
from tests.support.administration import Administration, administered
from tests.support.gateway import endpoint

CANARY = "canary-of-an-upstreams-key"


@pytest.fixture
async def admin(tmp_path: Path) -> AsyncIterator[Administration]:
    config = Config.model_validate(
        {
            "upstreams": [{"url": "http://127.0.0.1:9", "api_key": CANARY}],
            "engines": [{"name": "g", "engine": "simulated", "env": {"HF_TOKEN": CANARY}}],
        }
    )
    async with administered(tmp_path / "data", config) as made:
        yield made


def condition(admin: Administration) -> Condition:
    return next(iter(admin.parts.catalog.replicas())).condition


async def test_a_drained_replica_stays_so_whatever_its_discovery_says(admin: Administration) -> None:
    there = endpoint("unix:/nowhere")
    admin.parts.catalog.publish("s", [Sighting(there, Condition.READY)])
    drained = await admin.ask("POST", "/admin/replicas/engine-0/drain", Role.OPERATOR)
    assert (drained.json()["condition"], drained.json()["drained"]) == ("draining", True)
    assert condition(admin) is Condition.DRAINING
    admin.parts.catalog.publish("s", [Sighting(there, Condition.READY)])
    assert condition(admin) is Condition.DRAINING
    admin.parts.catalog.publish("s", [Sighting(there, Condition.DOWN)])
    assert condition(admin) is Condition.DOWN
    admin.parts.catalog.publish("s", [])
    admin.parts.catalog.publish("s", [Sighting(there, Condition.READY)])
    assert condition(admin) is Condition.DRAINING
    back = await admin.ask("POST", "/admin/replicas/engine-0/undrain", Role.OPERATOR)
    assert (back.json()["condition"], condition(admin)) == ("ready", Condition.READY)
    assert [(e["action"], e["object"], e["outcome"]) for e in admin.audited() if e["outcome"] != "begun"] == [
        ("replicas.drain", "replicas/engine-0", "ok"),
        ("replicas.undrain", "replicas/engine-0", "ok"),
    ]


async def test_a_replica_that_is_not_there_cannot_be_drained(admin: Administration) -> None:
    assert (await admin.ask("POST", "/admin/replicas/none/drain")).status_code == 404
    assert admin.audited()[-1]["outcome"] == "not_found"


async def test_a_request_is_let_out_of_quarantine(admin: Administration) -> None:
    from gateway.fleet.replica import Replica

    quarantine, now = admin.parts.proxy.quarantine, admin.parts.proxy.clock()
    for number in range(2):
        dead = Replica(endpoint("unix:/nowhere", id=f"e{number}"), Condition.DOWN)
        quarantine.strike("t", b"a canary in a prompt", dead)
    quarantine.standing("t", b"a canary in a prompt", request_id="r")
    listed = await admin.ask("GET", "/admin/quarantine", Role.VIEWER)
    [held] = listed.json()["data"]
    assert held["replicas"] == ["e0", "e1"]
    assert "canary" not in listed.text
    assert now
    assert (await admin.ask("DELETE", f"/admin/quarantine/{held['id']}", Role.VIEWER)).status_code == 403
    assert (await admin.ask("DELETE", f"/admin/quarantine/{held['id']}", Role.OPERATOR)).status_code == 200
    assert (await admin.ask("DELETE", f"/admin/quarantine/{held['id']}")).status_code == 404
    assert (await admin.ask("GET", "/admin/quarantine")).json() == {"data": []}


async def test_the_configuration_is_shown_without_its_secrets(admin: Administration) -> None:
    answer = await admin.ask("GET", "/admin/config", Role.VIEWER)
    assert answer.json()["upstreams"][0]["url"] == "http://127.0.0.1:9"
    assert answer.json()["engines"][0]["env"] == {"HF_TOKEN": "********"}
    assert CANARY not in answer.text


async def made(admin: Administration, kind: str, **fields: Any) -> dict[str, Any]:
    answer = await admin.ask("POST", f"/admin/{kind}", json=fields)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_a_key_made_over_http_calls_and_is_revoked(admin: Administration) -> None:
    await made(admin, "teams", name="lab")
    key = await made(admin, "keys", name="ci", team="lab")
    assert "secrets" not in key
    authenticate = admin.parts.proxy.authenticator.authenticate
    assert authenticate(key["key"].encode()).tenant == "lab"
    read = await admin.ask("GET", f"/admin/keys/{key['id']}", Role.VIEWER)
    assert "key" not in read.json()
    etag = read.headers["etag"]
    revoked = await admin.ask(
        "POST", f"/admin/keys/{key['id']}/revoke", Role.OPERATOR, headers={"if-match": etag}
    )
    assert revoked.json()["revoked_at"] is not None
    with pytest.raises(Exception, match="not valid"):
        authenticate(key["key"].encode())


async def test_a_rotated_key_has_a_new_text_shown_once(admin: Administration) -> None:
    key = await made(admin, "keys", name="ci")
    path = f"/admin/keys/{key['id']}"
    new = await admin.ask("POST", f"{path}/rotate", headers={"if-match": '"1"'}, json={"overlap": 0})
    assert new.json()["key"] != key["key"]
    authenticate = admin.parts.proxy.authenticator.authenticate
    assert authenticate(new.json()["key"].encode()).key_id == key["id"]
    for body in ({"overlap": "x"}, {"overlap": True}, {"overlap": -1}, {"secrets": []}):
        refused = await admin.ask("POST", f"{path}/rotate", headers={"if-match": '"2"'}, json=body)
        assert refused.status_code == 400


async def test_every_change_is_audited_with_the_state_before_and_after(admin: Administration) -> None:
    team = await made(admin, "teams", name="lab")
    changed = await admin.ask("PATCH", "/admin/teams/lab", headers={"if-match": '"1"'}, json={"weight": 2.0})
    await admin.ask("DELETE", "/admin/teams/lab", headers={"if-match": '"2"'})
    entries = [entry for entry in admin.audited() if entry["outcome"] != "begun"]
    assert [entry["action"] for entry in entries] == ["teams.create", "teams.update", "teams.delete"]
    assert [entry["before"] for entry in entries] == [None, state_hash(team), state_hash(changed.json())]
    assert [entry["after"] for entry in entries] == [state_hash(team), state_hash(changed.json()), None]
    assert {entry["object"] for entry in entries} == {"teams/lab"}
    assert verify(admin.parts.audit).problems == []


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"null", b'"x"', b"\xff", b"[" * 5000])
async def test_a_body_that_is_no_object_is_a_400(admin: Administration, body: bytes) -> None:
    answer = await admin.ask("POST", "/admin/teams", content=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_json")


@pytest.mark.parametrize(
    "field", ["version", "owner", "id", "secrets", "made_by", "created", "role", "digest"]
)
async def test_what_is_not_the_callers_to_set_is_refused(admin: Administration, field: str) -> None:
    for kind in ("teams", "keys", "organisations"):
        answer = await admin.ask("POST", f"/admin/{kind}", json={"name": "x", field: "admin"})
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, field)


async def test_a_change_without_a_version_is_a_428_and_with_an_old_one_a_412(admin: Administration) -> None:
    await made(admin, "teams", name="lab")
    cases = [({}, 428), ({"if-match": '"7"'}, 412), ({"if-match": "*"}, 400), ({"if-match": "1"}, 400)]
    for headers, status in cases:
        for method, path in (("PATCH", "/admin/teams/lab"), ("DELETE", "/admin/teams/lab")):
            answer = await admin.ask(method, path, headers=headers, json={"weight": 3.0})
            assert answer.status_code == status, (method, headers)
    assert (await admin.ask("GET", "/admin/teams/lab")).json()["weight"] == 1.0


async def test_of_those_who_change_at_once_one_wins_and_the_others_are_told(admin: Administration) -> None:
    await made(admin, "teams", name="lab")
    answers = await asyncio.gather(
        *[
            admin.ask("PATCH", "/admin/teams/lab", headers={"if-match": '"1"'}, json={"weight": 1.0 + number})
            for number in range(1, 9)
        ]
    )
    assert sorted(answer.status_code for answer in answers) == [200, *[412] * 7]
    [won] = [answer.json() for answer in answers if answer.status_code == 200]
    assert (await admin.ask("GET", "/admin/teams/lab")).json() == won
    assert verify(admin.parts.audit).entries == 18


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    names=st.sets(st.from_regex(r"[a-z]{1,4}", fullmatch=True), min_size=1, max_size=8),
    more=st.lists(st.from_regex(r"[a-z]{1,4}", fullmatch=True), max_size=4),
    limit=st.integers(1, 4),
)
async def test_pages_show_each_object_once_while_others_come(
    tmp_path_factory: pytest.TempPathFactory, names: set[str], more: list[str], limit: int
) -> None:
    async with administered(tmp_path_factory.mktemp("data")) as admin:
        for name in sorted(names):
            await made(admin, "teams", name=name)
        seen: list[str] = []
        cursor: str | None = None
        coming = list(more)
        while True:
            params = {"limit": limit, **({} if cursor is None else {"cursor": cursor})}
            page = (await admin.ask("GET", "/admin/teams", params=params)).json()
            seen += [team["name"] for team in page["data"]]
            cursor = page["next_cursor"]
            if cursor is None:
                break
            if coming:
                await admin.ask("POST", "/admin/teams", json={"name": coming.pop()})
        assert len(seen) == len(set(seen))
        assert names <= set(seen)


class TestAKeyOfTheDirectory:
    """One with a role administers within its reach, one without does not."""

    async def key(self, admin: Administration, **user: Any) -> str:
        directory = admin.parts.identity.directory
        assert directory is not None
        from gateway.auth.directory.records import Kind

        if "lab" not in directory.contents.teams:
            await directory.create(LOCAL, Kind.TEAM, {"name": "lab"})
            await directory.create(LOCAL, Kind.TEAM, {"name": "other"})
        fields: dict[str, Any] = {"name": "k", "team": "lab"}
        if user:
            await directory.create(LOCAL, Kind.USER, {"name": "ann", "team": "lab", **user})
            fields |= {"user": "ann", "operations": ["admin"]}
        return (await directory.create_key(LOCAL, fields)).text

    async def status(self, admin: Administration, key: str, path: str) -> int:
        return (await admin.ask("GET", path, None, headers={"authorization": f"Bearer {key}"})).status_code

    async def test_one_that_infers_is_refused(self, admin: Administration) -> None:
        key = await self.key(admin)
        assert await self.status(admin, key, "/admin/teams") == 403
        assert admin.audited()[-1]["outcome"] == "permission_denied"

    async def test_an_admin_of_a_team_sees_the_team_and_not_what_concerns_all(
        self, admin: Administration
    ) -> None:
        key = await self.key(admin, role="admin", reach="team")
        assert await self.status(admin, key, "/admin/teams/lab") == 200
        assert await self.status(admin, key, "/admin/teams/other") == 404
        for path in (
            "/admin/requests",
            "/admin/replicas",
            "/admin/config",
            "/admin/quarantine",
            "/admin/audit",
        ):
            assert await self.status(admin, key, path) == 403

    async def test_an_admin_of_everything_sees_everything(self, admin: Administration) -> None:
        key = await self.key(admin, role="viewer", reach="everything")
        for path in ("/admin/requests", "/admin/replicas", "/admin/config", "/admin/teams/other"):
            assert await self.status(admin, key, path) == 200


async def test_no_secret_is_in_what_is_written_or_shown(
    admin: Administration, caplog: pytest.LogCaptureFixture
) -> None:
    """Keys, tokens and the digests of both: not in an answer (but the one that shows a key), a metric, a log or the audit."""
    caplog.set_level(0)
    key = await made(admin, "keys", name="ci")
    jwt = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJjYW5hcnkifQ.c2lnbmF0dXJl"
    secrets = [*admin.tokens.values(), key["key"], CANARY, jwt]
    shown = []
    for path in ("requests", "requests/x", "replicas", "audit", "quarantine", "config", "keys", f"keys/{key['id']}",
                 "teams", "users", "organisations", "openapi.json"):  # fmt: skip
        shown += [(await admin.ask("GET", f"/admin/{path}", role)).text for role in (*Role, None)]
    for bad in (jwt, key["key"], f"{admin.tokens[Role.ADMIN]}x"):
        for headers in ({"authorization": f"Bearer {bad}"}, {"authorization": f"Basic {bad}"}):
            shown.append((await admin.ask("GET", "/admin/keys", None, headers=headers)).text)
            shown.append(
                (await admin.ask("POST", "/admin/keys", None, headers=headers, json={"name": bad})).text
            )
    shown.append((await admin.ask("POST", "/admin/keys", json={"name": "x", "digest": jwt})).text)
    shown.append((await admin.ask("GET", "/metrics", None)).text)
    shown.append(admin.parts.audit.path.read_text())
    shown.append(caplog.text)
    stored = json.loads(admin.paths.keys.read_text())
    digests = [each["digest"] for one in stored["keys"] for each in one.get("secrets", [])]
    for secret in secrets + digests:
        assert not [text for text in shown if secret in text], secret[:12]
