import pytest

from gateway.auth.keys import is_well_formed


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
