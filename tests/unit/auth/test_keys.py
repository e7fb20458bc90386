"""API keys: made, stored, checked, revoked; the secret is nowhere but in its owner's hands."""

import asyncio
import hmac
import json
import random
import stat
import threading

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.auth.callers import Keys
from gateway.auth.directory.contents import Contents
from gateway.auth.directory.directory import Directory
from gateway.auth.keys import FileStore, KeyFile, KeyFileError, UnknownKey, is_well_formed
from gateway.auth.private import KeysGone
from gateway.auth.refusal import Refusals
from gateway.core.errors import Unauthenticated


@pytest.fixture
def file(tmp_path):
    return KeyFile(
        tmp_path / "data" / "keys.json", tmp_path / "data" / "pepper", clock=lambda: 1_700_000_000.0
    )


class FileKeys:
    """The callers of a key file, as a gateway has them that follows it."""

    def __init__(self, file):
        store, mint = FileStore(file), file.mint()
        keys = Keys(mint, Refusals(), clock=file.clock)
        self.authenticate = keys.authenticate
        self._directory = Directory(
            store, Contents(), lambda: mint, operations=(), clock=file.clock, on_change=keys.publish
        )
        self._directory.publish(store.fetch_now())

    @property
    def problem(self):
        return self._directory.problem

    def reload_if_changed(self):
        return asyncio.run(self._directory.refresh())


def refusal(keys, credential):
    with pytest.raises(Unauthenticated) as refused:
        keys.authenticate(credential)
    return refused.value


def test_a_key_has_the_documented_form(file):
    text = file.create("a").text
    gw, env, public, secret, checksum = text.split("_")
    assert (gw, env, len(public), len(secret), len(checksum)) == ("gw", "local", 12, 43, 6)
    assert text.replace("_", "").isalnum()
    assert is_well_formed(text)


def test_the_secret_has_256_bits_of_the_random_source(tmp_path):
    asked = []

    def source(count):
        asked.append(count)
        return random.Random(7).randbytes(count)

    KeyFile(tmp_path / "k", tmp_path / "p", clock=lambda: 0.0, random_bytes=source).create("a")
    assert 32 in asked


@given(st.integers(min_value=0, max_value=71), st.characters(codec="utf-8"))
def test_any_changed_character_is_noticed_without_asking_anybody(at, character):
    text = "gw_local_lJws2K7tBW35_l2sFdw3rqv2rQ3OSTrGx3qFLDCQUktazUKkmv3vcJi2_1k8yGY"
    assert is_well_formed(text)
    changed = text[:at] + character + text[at + 1 :]
    assert is_well_formed(changed) == (changed == text)


def test_a_key_is_its_callers(file):
    created = file.create("ci", tenant="research", models=("tiny", "big"))
    principal = FileKeys(file).authenticate(created.text.encode())
    assert (principal.tenant, principal.key_id) == ("research", created.record.id)
    assert principal.models == frozenset({"tiny", "big"})


def test_a_key_without_models_may_use_all(file):
    text = file.create("a").text
    assert FileKeys(file).authenticate(text.encode()).models is None


def test_unknown_revoked_and_malformed_keys_are_refused_in_the_same_words(file):
    valid, revoked = file.create("a").text, file.create("b").text
    file.revoke("b")
    keys = FileKeys(file)
    wrong = [
        revoked,
        valid[:-1] + ("0" if valid[-1] != "0" else "1"),
        valid.replace("gw_local", "gw_other"),
        valid.swapcase(),
        valid[:-1],
        valid + "0",
        "gw_local_" + "0" * 12 + "_" + "0" * 43 + "_" + "0" * 6,
        "sk-something",
        "",
        "é" * 40,
        "x" * 100_000,
        valid.replace("_", "-"),
    ]
    said = {str(refusal(keys, text.encode())) for text in wrong}
    assert len(said) == 1
    assert keys.authenticate(valid.encode())


@pytest.fixture(scope="module")
def one_key(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys")
    file = KeyFile(folder / "keys.json", folder / "pepper", clock=lambda: 0.0)
    file.create("a")
    return FileKeys(file)


@given(credential=st.binary(max_size=300))
def test_no_bytes_pass_for_a_key(one_key, credential):
    refusal(one_key, credential)


def test_no_credential_is_refused_and_told_how_to_send_one(file):
    assert "Authorization: Bearer" in str(refusal(FileKeys(file), None))


def test_the_secret_is_in_no_file_and_no_text_of_an_object(file, tmp_path):
    created = file.create("a")
    secret = created.text.split("_")[3]
    for stored in (tmp_path / "data").iterdir():
        assert secret.encode() not in stored.read_bytes()
    keys = FileKeys(file)
    shown = [
        repr(created),
        str(created),
        repr(created.record),
        repr(keys),
        repr(file),
        str(refusal(keys, b"x")),
    ]
    assert not any(secret in text for text in shown)


def test_every_file_is_private(file, tmp_path):
    file.create("a")
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
    modes = {stored.name: stat.S_IMODE(stored.stat().st_mode) for stored in (tmp_path / "data").iterdir()}
    assert modes == {"keys.json": 0o600, "pepper": 0o600, "keys.json.lock": 0o600}


def test_the_first_key_is_made_once(file):
    assert file.create_first() is not None
    assert file.create_first() is None
    assert len(file.records()) == 1


def test_ten_writers_at_once_lose_nothing(file):
    threads = [threading.Thread(target=file.create, args=(f"k{number}",)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {record.name for record in file.records()} == {f"k{number}" for number in range(10)}


def test_keys_are_revoked_by_id_or_by_a_name_that_only_one_has(file):
    one, two = file.create("same").record, file.create("same").record
    with pytest.raises(UnknownKey, match="2 keys"):
        file.revoke("same")
    assert file.revoke(one.id).revoked_at == 1_700_000_000.0
    assert file.revoke("same").id == two.id
    with pytest.raises(UnknownKey, match="no key"):
        file.revoke("same")
    assert file.revoke(one.id).revoked_at == 1_700_000_000.0


def test_a_running_gateway_follows_new_and_revoked_keys(file):
    one = file.create("one").text.encode()
    keys = FileKeys(file)
    assert keys.reload_if_changed() is False
    two = file.create("two").text.encode()
    refusal(keys, two)
    assert keys.reload_if_changed() is True
    assert keys.authenticate(two)
    file.revoke("one")
    assert keys.reload_if_changed() is True
    refusal(keys, one)


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"version": 3}', b'{"keys": [{"id": 1}]}'])
def test_a_broken_file_keeps_the_former_keys_and_is_reported_once(file, content):
    text = file.create("a").text.encode()
    keys = FileKeys(file)
    good = file.path.read_bytes()
    file.path.write_bytes(content)
    with pytest.raises(KeyFileError):
        keys.reload_if_changed()
    assert keys.reload_if_changed() is False
    assert keys.problem is not None
    assert keys.authenticate(text)
    file.path.write_bytes(good)
    assert keys.reload_if_changed() is True
    assert keys.problem is None


def test_a_key_file_that_has_gone_keeps_the_former_keys(file):
    text = file.create("a").text.encode()
    keys = FileKeys(file)
    file.path.unlink()
    with pytest.raises(KeyFileError, match="has gone"):
        keys.reload_if_changed()
    assert keys.authenticate(text)


def test_a_key_file_opened_to_others_is_refused(file):
    text = file.create("a").text.encode()
    keys = FileKeys(file)
    file.path.chmod(0o644)
    with pytest.raises(KeyFileError, match="chmod 600"):
        FileKeys(file)
    with pytest.raises(KeyFileError, match="chmod 600"):
        keys.reload_if_changed()
    assert keys.authenticate(text)


def test_a_digest_that_is_none_is_a_broken_file(file):
    file.create("a")
    stored = json.loads(file.path.read_bytes())
    stored["keys"][0]["secrets"][0]["digest"] = "zz"
    file.path.write_bytes(json.dumps(stored).encode())
    with pytest.raises(KeyFileError, match="64 hex"):
        file.records()


def test_a_lost_pepper_is_not_silently_replaced(file):
    file.create("a")
    file.pepper_path.unlink()
    with pytest.raises(KeyFileError, match="is missing"):
        FileKeys(file)


def test_a_short_pepper_is_refused(file):
    file.pepper()
    file.pepper_path.write_bytes(b"short")
    with pytest.raises(KeyFileError, match="5 bytes"):
        FileKeys(file)


def test_the_same_secret_under_another_pepper_is_another_key(file, tmp_path):
    text = file.create("a").text.encode()
    file.pepper_path.write_bytes(b"x" * 32)
    refusal(FileKeys(file), text)


def test_a_folder_that_cannot_be_written_is_reported(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(KeyFileError, match="cannot write"):
        KeyFile(blocked / "keys.json", blocked / "pepper", clock=lambda: 0.0).create("a")


def test_the_file_is_replaced_whole(file, monkeypatch):
    file.create("a")
    before = file.path.read_bytes()
    monkeypatch.setattr("gateway.auth.private.os.fsync", _full_disk)
    with pytest.raises(KeyFileError, match="No space"):
        file.create("b")
    assert file.path.read_bytes() == before
    assert [left.name for left in file.path.parent.iterdir() if left.name.startswith(".")] == []


def _full_disk(_descriptor):
    raise OSError(28, "No space left on device")


def test_the_stored_shape_is_the_documented_one(file):
    file.create("a", tenant="lab", models=("m",))
    stored = msgspec.json.decode(file.path.read_bytes())
    assert stored["version"] == 2
    assert [team["name"] for team in stored["teams"]] == ["lab"]
    assert set(stored["keys"][0]) == {"id", "name", "team", "models", "created", "secrets", "version"}
    assert set(stored["keys"][0]["secrets"][0]) == {"digest", "created"}


FIRST_VERSION = {
    "version": 1,
    "keys": [
        {
            "id": "lJws2K7tBW35",
            "name": "old",
            "tenant": "lab",
            "digest": "",
            "env": "local",
            "models": ["tiny"],
            "created": 1.0,
            "revoked_at": None,
        },
    ],
}
"""As the first version of this program wrote it."""


def test_a_key_file_of_the_first_version_still_opens_the_gates(file):
    text = "gw_local_lJws2K7tBW35_l2sFdw3rqv2rQ3OSTrGx3qFLDCQUktazUKkmv3vcJi2_1k8yGY"
    pepper = file.pepper()
    stored = json.loads(json.dumps(FIRST_VERSION))
    stored["keys"][0]["digest"] = hmac.digest(pepper, text[-50:].encode(), "sha256").hex()
    file.path.write_bytes(json.dumps(stored).encode())
    file.path.chmod(0o600)
    principal = FileKeys(file).authenticate(text.encode())
    assert (principal.tenant, principal.models) == ("lab", frozenset({"tiny"}))
    file.create("new")  # writes the file anew, in its present form
    assert FileKeys(file).authenticate(text.encode()) == principal


def test_no_first_key_is_made_where_there_were_keys(file):
    file.create_first()
    file.path.unlink()
    with pytest.raises(KeysGone, match=r"keys\.json is missing"):
        file.create_first()
    assert not file.path.exists()
