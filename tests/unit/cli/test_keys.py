import json

import pytest

from gateway.administration import first_token
from gateway.auth.keys import is_well_formed
from gateway.cli.failure import Failure
from gateway.cli.keyring import first_key
from gateway.cli.output import Voice
from gateway.cli.refusals import refused
from gateway.cli.setting import load_setting


def test_a_created_key_is_the_only_thing_on_standard_output(cascadia):
    called = cascadia("keys", "create", "ci")
    assert called.code == 0
    assert is_well_formed(called.out.strip())
    assert called.out.strip() not in called.err


def test_a_created_key_as_json(cascadia):
    found = cascadia("keys", "create", "ci", "--tenant", "lab", "--model", "a", "--model", "b", "--json").json
    assert found["version"] == 1
    assert is_well_formed(found["key"])
    assert (found["name"], found["tenant"], found["models"]) == ("ci", "lab", ["a", "b"])


def test_keys_are_listed_without_what_could_make_them(cascadia):
    text = cascadia("keys", "create", "ci").out.strip()
    found = cascadia("keys", "list", "--json")
    assert {"id", "name", "tenant", "models", "created", "revoked_at"} <= set(found.json["keys"][0])
    assert "secrets" not in found.json["keys"][0]
    table = cascadia("keys", "list").out
    assert "ci" in table
    assert "valid" in table
    assert text.split("_")[3] not in found.out + table


def test_a_revoked_key_is_listed_as_such(cascadia):
    cascadia("keys", "create", "ci")
    assert cascadia("keys", "revoke", "ci").code == 0
    assert "revoked" in cascadia("keys", "list").out
    assert cascadia("keys", "list", "--json").json["keys"][0]["revoked_at"] is not None


def test_a_time_that_no_calendar_has_is_shown_as_it_is():
    from gateway.cli.people import moment

    assert [moment(each, "never") for each in (None, 0, 1e18, -1e300)] == [
        "never",
        "1970-01-01 00:00",
        "1e+18 s",
        "-1e+300 s",
    ]


def test_an_unknown_key_is_refused(cascadia):
    called = cascadia("keys", "revoke", "nobody")
    assert (called.code, called.last) == (1, "next: cascadia keys list")


def test_no_keys_is_no_error(cascadia):
    assert cascadia("keys", "list", "--json").json == {"version": 1, "keys": []}
    assert "cascadia keys create" in cascadia("keys", "list").err


def test_an_open_key_file_ends_with_78(cascadia, data):
    cascadia("keys", "create", "ci")
    (data / "keys.json").chmod(0o644)
    called = cascadia("keys", "list")
    assert called.code == 78
    assert "chmod 600" in called.err


@pytest.mark.parametrize("quiet", ["--quiet", "-q"])
def test_quiet_leaves_the_key_alone(cascadia, quiet):
    assert cascadia("keys", "create", "ci", quiet).err == ""


def entries(data):
    return [json.loads(line) for line in (data / "audit.jsonl").read_text().splitlines()]


def test_each_change_is_written_down_before_it_is_made_and_as_it_went(cascadia, data):
    cascadia("keys", "create", "ci", "--team", "lab")
    cascadia("keys", "revoke", "ci")
    cascadia("keys", "create", "ci", "--user", "nobody")
    found = entries(data)
    assert [(entry["action"], entry["outcome"]) for entry in found] == [
        (action, outcome)
        for action, end in [
            ("teams.create", "ok"),
            ("keys.create", "ok"),
            ("keys.revoke", "ok"),
            ("keys.create", "invalid_request"),
        ]
        for outcome in ("begun", end)
    ]
    assert all(
        begun["request_id"] == end["request_id"] for begun, end in zip(found[::2], found[1::2], strict=True)
    )
    assert (found[0]["object"], found[2]["object"], found[4]["object"]) == ("teams/lab", "keys/ci", "keys/ci")
    assert cascadia("audit", "verify").code == 0


def test_nothing_is_changed_that_cannot_be_written_down(cascadia, data):
    cascadia("keys", "create", "ci")
    (data / "audit.jsonl").unlink()
    (data / "audit.jsonl").mkdir()
    assert cascadia("keys", "create", "more").code == 78
    assert len(cascadia("keys", "list", "--json").json["keys"]) == 1
    (data / "audit.jsonl").rmdir()


def first_start(data):
    setting = load_setting(None, data, Voice(quiet=True))
    return first_key(setting.config, setting.paths), first_token(setting.paths)


def test_the_first_key_and_the_first_token_are_written_down(cascadia, data):
    assert first_start(data)[0]
    assert first_start(data)[0] is None
    assert [(entry["action"], entry["outcome"]) for entry in entries(data)] == [
        ("keys.create", "begun"),
        ("keys.create", "ok"),
        ("tokens.create", "begun"),
        ("tokens.create", "ok"),
    ]


@pytest.mark.parametrize(
    ("name", "command"),
    [("keys.json", "cascadia keys create first"), ("admin.json", "cascadia admin create first --role admin")],
)
def test_a_start_without_the_file_that_there_was_makes_none_and_says_what_does(cascadia, data, name, command):
    first_start(data)
    (data / name).unlink()
    with pytest.raises(Failure) as refusal, refused():
        first_start(data)
    assert refusal.value.next_command == command
    assert not (data / name).exists()
    assert cascadia(*command.split()[1:]).code == 0
    first_start(data)
    assert len(entries(data)) == 6
