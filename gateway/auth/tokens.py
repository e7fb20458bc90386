"""Admin tokens: who may administer. Another kind of credential than an API key, and of no use as one.

A token is `ga_<id>_<secret>`; stored is HMAC-SHA-256 of the secret under a key for this purpose alone. The file is looked
at for every request, so that a revoked token is refused at once: the administration is no hot path.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from filelock import FileLock, Timeout

from gateway.core.call import Role
from gateway.core.errors import Unauthenticated

PREFIX = "ga_"
_TOKEN = re.compile(r"ga_([0-9a-f]{12})_([0-9a-f]{64})")
_LOCK_SECONDS = 10.0
_ID_BYTES, _TOKEN_BYTES = 6, 32
_REFUSED = "The admin token is not valid."
_ABSENT = "No admin token was given. Send it as: Authorization: Bearer TOKEN"
RANKS = (Role.VIEWER, Role.OPERATOR, Role.ADMIN)
"""Roles, each of which may do all that those before it may."""


class TokenFileError(Exception):
    """The file of admin tokens cannot be used; the text says why."""


class TokensGone(TokenFileError):
    """There were tokens once, and their file is not there."""


class UnknownToken(Exception):
    """No token, or more than one, answers to the id or name that was given."""


class TokenRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One token as stored. Times are Unix seconds."""

    id: str
    name: str
    role: Role
    digest: str
    created: float
    revoked_at: float | None = None


class _Stored(msgspec.Struct, frozen=True, kw_only=True):
    version: int = 1
    tokens: tuple[TokenRecord, ...] = ()


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token at the one moment when its text exists."""

    record: TokenRecord
    text: str = field(repr=False)


class TokenFile:
    """The tokens in `path`. `key` gives the key of their digests, when it is needed; `clock` gives Unix seconds. Any process may read and write."""

    def __init__(self, path: Path, key: Callable[[], bytes], clock: Callable[[], float]) -> None:
        self._path = path
        self._key = key
        self._clock = clock

    def records(self) -> tuple[TokenRecord, ...]:
        """All tokens, revoked ones too, oldest first. Raises `TokenFileError`."""
        try:
            with self._path.open("rb") as file:
                if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                    raise TokenFileError(f"{self._path}: others can get at it; run: chmod 600 {self._path}")
                stored = msgspec.json.decode(file.read(), type=_Stored)
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise TokenFileError(f"cannot read {self._path}: {error.strerror}") from error
        except msgspec.DecodeError as error:
            raise TokenFileError(f"{self._path} is not a file of admin tokens: {error}") from error
        return stored.tokens

    def authenticate(self, credential: bytes | None) -> TokenRecord:
        """The token whose text this is. Raises `Unauthenticated`, the same for all that is wrong.

        Raises `TokenFileError`, and what `key` raises.
        """
        if credential is None:
            raise Unauthenticated(_ABSENT)
        match = _TOKEN.fullmatch(credential.decode("latin-1"))
        id_, secret = match.groups() if match else ("", "")
        found = next((r for r in self.records() if r.id == id_ and r.revoked_at is None), None)
        digest = self._digest(secret)
        if not hmac.compare_digest(digest, "" if found is None else found.digest) or found is None:
            raise Unauthenticated(_REFUSED)
        return found

    def create(self, name: str, role: Role) -> NewToken:
        """Make a token. Its text is in the result and nowhere else. Raises `TokenFileError`."""
        with self._writing():
            return self._add(name, role)

    def create_first(self, text_path: Path) -> bool:
        """Make a token for an admin if there never was one, and write its text to `text_path`, for its owner alone."""
        if self._path.exists():
            return False
        with self._writing():
            if self._path.exists():
                return False
            self._add("first", Role.ADMIN, keep=lambda text: _replace(text_path, text.encode() + b"\n"))
            return True

    def revoke(self, id_or_name: str) -> TokenRecord:
        """Revoke a token for good. Raises `UnknownToken` and `TokenFileError`."""
        with self._writing():
            records = self.records()
            found = [r for r in records if r.id == id_or_name] or [
                r for r in records if r.name == id_or_name and r.revoked_at is None
            ]
            if len(found) != 1:
                count = "no token has" if not found else f"{len(found)} tokens have"
                raise UnknownToken(f"{count} the id or name {id_or_name!r}")
            [record] = found
            if record.revoked_at is None:
                revoked = msgspec.structs.replace(record, revoked_at=self._clock())
                self._store(tuple(revoked if r is record else r for r in records))
                return revoked
            return record

    def _add(self, name: str, role: Role, keep: Callable[[str], None] = lambda _: None) -> NewToken:
        id_, secret = secrets.token_hex(_ID_BYTES), secrets.token_hex(_TOKEN_BYTES)
        record = TokenRecord(id=id_, name=name, role=role, digest=self._digest(secret), created=self._clock())
        text = f"{PREFIX}{id_}_{secret}"
        keep(text)  # first: a token that nobody could read would be the first one for ever
        self._store((*self.records(), record))
        return NewToken(record, text)

    def _digest(self, secret: str) -> str:
        return hmac.digest(self._key(), secret.encode(), hashlib.sha256).hex()

    def _store(self, records: tuple[TokenRecord, ...]) -> None:
        _replace(self._path, msgspec.json.format(msgspec.json.encode(_Stored(tokens=records)), indent=1))

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with FileLock(f"{self._path}.lock", timeout=_LOCK_SECONDS, mode=0o600):
                yield
        except Timeout as error:
            raise TokenFileError(f"{self._path}.lock is held by another process") from error
        except OSError as error:
            raise TokenFileError(f"cannot write {self._path}: {error.strerror}") from error


def _replace(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
