"""`cascadia organisations`, `teams`, `users`, and what `keys` does with them."""

import pytest

from gateway.auth.keytext import is_well_formed


def test_from_an_organisation_to_a_key(cascadia):
    assert cascadia("organisations", "create", "physics").code == 0
    lab = cascadia("teams", "create", "lab", "--organisation", "physics", "--weight", "2", "--json").json
    assert (lab["version"], lab["name"], lab["weight"], lab["owner"], lab["revision"]) == (
        1,
        "lab",
        2.0,
        "dynamic",
        1,
    )
    assert cascadia("users", "create", "ada", "--team", "lab", "--role", "operator").code == 0
    made = cascadia(
        *("keys", "create", "k", "--team", "lab", "--user", "ada", "--model", "llama-*", "--json"),
        *("--operation", "chat", "--network", "10.0.0.0/8", "--tier", "flex", "--expires", "90d"),
    ).json
    assert is_well_formed(made["key"])
    shown = {
        name: made[name] for name in ("team", "user", "models", "operations", "networks", "highest_tier")
    }
    assert shown == {
        "team": "lab",
        "user": "ada",
        "models": ["llama-*"],
        "operations": ["chat"],
        "networks": ["10.0.0.0/8"],
        "highest_tier": "flex",
    }
    assert 89 * 86_400 < made["expires_at"] - made["created"] < 91 * 86_400
    for kind in ("organisations", "teams", "users"):
        names = {each["name"] for each in cascadia(kind, "list", "--json").json[kind]}
        assert names - {"default"} == {{"organisations": "physics", "teams": "lab", "users": "ada"}[kind]}


@pytest.mark.parametrize(("kind", "name"), [("organisations", "default"), ("teams", "lab"), ("users", "ada")])
def test_what_is_suspended_shows_at_its_keys(cascadia, kind, name):
    cascadia("teams", "create", "lab")
    cascadia("users", "create", "ada", "--team", "lab")
    cascadia("keys", "create", "k", "--team", "lab", "--user", "ada")

    def state():
        return cascadia("keys", "list", "--json").json["keys"][0]["state"]

    assert cascadia(kind, "suspend", name).code == 0
    assert state() == "suspended"
    assert "suspended" in cascadia(kind, "list").out
    assert cascadia(kind, "resume", name, "--json").json["suspended"] is False
    assert state() == "valid"


def test_a_rotated_key_keeps_its_id_and_shows_two_digests(cascadia):
    old = cascadia("keys", "create", "k", "--json").json
    new = cascadia("keys", "rotate", "k", "--overlap", "1h", "--json").json
    assert new["id"] == old["id"]
    assert new["key"] != old["key"]
    shown = cascadia("keys", "show", "k", "--json").json
    assert [secret["expires_at"] is None for secret in shown["secrets"]] == [True, False]
    assert old["key"].split("_")[3] not in cascadia("keys", "show", "k").out


def test_a_team_that_is_new_is_told(cascadia):
    assert "The team lab is new." in cascadia("keys", "create", "k", "--team", "lab").err
    assert "new" not in cascadia("keys", "create", "k2", "--team", "lab").err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("teams", "create", "default"), 0, "is there"),
        (("teams", "suspend", "nobody"), 1, "there is no team 'nobody'"),
        (("teams", "create", "t", "--weight", "0"), 1, "a weight is over 0"),
        (("teams", "create", "t", "--organisation", "o"), 1, "there is no organisation 'o'"),
        (("users", "create", "u", "--role", "king"), 1, "role: "),
        (("keys", "create", "k", "--user", "nobody"), 1, "there is no user 'nobody'"),
        (("keys", "create", "k", "--operation", "admin"), 1, "belongs to a user with a role"),
        (("keys", "create", "k", "--network", "here"), 1, "no address or network"),
        (("keys", "create", "k", "--expires", "soon"), 2, "such as 90d"),
        (("keys", "rotate", "k"), 1, "no key has the id or name 'k'"),
    ],
)
def test_what_cannot_be_is_said(cascadia, arguments, code, said):
    called = cascadia(*arguments)
    assert (called.code, said in called.err) == (code, True), called.err


def test_what_the_configuration_declares_no_command_changes(cascadia):
    from pathlib import Path

    Path("cascadia.yaml").write_text("identity: {teams: [{name: lab}]}")
    called = cascadia("teams", "suspend", "lab")
    assert called.code == 1
    assert "declared in the configuration file" in called.err
    Path("cascadia.yaml").unlink()
    cascadia("teams", "create", "lab")
    Path("cascadia.yaml").write_text("identity: {teams: [{name: lab}]}")
    assert cascadia("keys", "list").code == 78
