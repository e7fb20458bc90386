"""Admin tokens and the secret they are hashed under."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from gateway.auth.root import SecretError, derive, root_secret
from gateway.auth.tokens import TokenFile, TokenFileError, UnknownToken
from gateway.core.call import Role
from gateway.core.errors import Unauthenticated


@pytest.fixture
def tokens(tmp_path: Path) -> TokenFile:
    return TokenFile(tmp_path / "admin.json", lambda: b"k" * 32, lambda: 5.0)


def test_a_token_is_known_by_its_text_alone(tokens: TokenFile, tmp_path: Path) -> None:
    made = tokens.create("ops", Role.OPERATOR)
    assert tokens.authenticate(made.text.encode()) == made.record
    assert made.text.split("_")[2] not in (tmp_path / "admin.json").read_text()
    assert made.text not in repr(made)
    for at in range(len(made.text)):
        with pytest.raises(Unauthenticated):
            tokens.authenticate((made.text[:at] + "x" + made.text[at + 1 :]).encode())


def test_a_token_made_under_another_secret_is_none(tokens: TokenFile, tmp_path: Path) -> None:
    text = tokens.create("ops", Role.ADMIN).text
    with pytest.raises(Unauthenticated):
        TokenFile(tmp_path / "admin.json", lambda: b"l" * 32, lambda: 5.0).authenticate(text.encode())


def test_a_revoked_token_is_refused_and_others_are_not(tokens: TokenFile) -> None:
    one, other = tokens.create("one", Role.VIEWER), tokens.create("other", Role.VIEWER)
    tokens.revoke("one")
    with pytest.raises(Unauthenticated):
        tokens.authenticate(one.text.encode())
    assert tokens.authenticate(other.text.encode()).name == "other"
    with pytest.raises(UnknownToken):
        tokens.revoke("nobody")


def test_the_first_token_is_made_once_and_is_for_its_owner(tokens: TokenFile, tmp_path: Path) -> None:
    place = tmp_path / "admin.token"
    assert tokens.create_first(place)
    assert place.stat().st_mode & 0o777 == 0o600
    assert tokens.authenticate(place.read_text().strip().encode()).role is Role.ADMIN
    assert not tokens.create_first(place)
    tokens.revoke("first")
    assert not tokens.create_first(place)


def test_an_open_or_broken_file_lets_nobody_in(tokens: TokenFile, tmp_path: Path) -> None:
    text = tokens.create("ops", Role.ADMIN).text.encode()
    (tmp_path / "admin.json").chmod(0o644)
    with pytest.raises(TokenFileError, match="chmod 600"):
        tokens.authenticate(text)
    (tmp_path / "admin.json").chmod(0o600)
    (tmp_path / "admin.json").write_text("{")
    with pytest.raises(TokenFileError):
        tokens.authenticate(text)


def test_those_who_start_at_once_have_one_secret(tmp_path: Path) -> None:
    found: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: found.append(root_secret(tmp_path / "secret"))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert len(found) == 8
    assert [each.name for each in tmp_path.iterdir()] == ["secret"]


def test_a_secret_that_is_open_or_short_is_refused(tmp_path: Path) -> None:
    root_secret(tmp_path / "secret")
    (tmp_path / "secret").chmod(0o640)
    with pytest.raises(SecretError, match="chmod 600"):
        root_secret(tmp_path / "secret")
    (tmp_path / "secret").chmod(0o600)
    (tmp_path / "secret").write_bytes(b"short")
    with pytest.raises(SecretError):
        root_secret(tmp_path / "secret")


def test_what_is_derived_for_one_purpose_is_no_use_for_another() -> None:
    assert len({derive(b"s" * 32, purpose) for purpose in ("admin tokens", "cache salt", "x")}) == 3
    assert derive(b"s" * 32, "x") != derive(b"t" * 32, "x")


def test_the_derivation_is_rfc_5869s() -> None:
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    assert derive(b"s" * 32, "x") == HKDF(SHA256(), 32, None, b"x").derive(b"s" * 32)
