"""The key file: the dynamic part of the directory for the gateways of one machine.

Standing alone, it makes, lists and revokes keys; with a `Directory` around it, it is that one's store.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from filelock import FileLock, Timeout

from gateway.auth.directory.contents import EMPTY, Contents, decode, encode
from gateway.auth.directory.records import DEFAULT, Key, Kind, Secret, Team
from gateway.auth.directory.store import Edit, Store
from gateway.auth.keytext import PEPPER_BYTES, Hmac, Mint, is_well_formed
from gateway.auth.private import KeyFileError, KeysGone, read_private, replace

__all__ = ["FileStore", "KeyFile", "KeyFileError", "NewKey", "UnknownKey", "find", "is_well_formed"]

_LOCK_SECONDS = 10.0


class UnknownKey(Exception):
    """No key, or more than one, answers to the id or name that was given."""


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key at the one moment when its text exists. `text` is shown to its owner once and kept nowhere."""

    record: Key
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class KeyFile:
    """The file. Any process may read; writers take turns by a lock file, and replace the file in one step."""

    path: Path
    pepper_path: Path
    clock: Callable[[], float]
    """Unix seconds."""
    random_bytes: Callable[[int], bytes] = secrets.token_bytes

    def contents(self) -> Contents:
        """All that is stored; what every directory has when there is no file. Raises `KeyFileError`."""
        raw = read_private(self.path)
        if raw is None:
            return EMPTY
        try:
            return decode(raw)
        except ValueError as error:
            raise KeyFileError(f"{self.path} is not a key file: {error}") from error

    def records(self) -> tuple[Key, ...]:
        """All keys, revoked ones too, oldest first. Raises `KeyFileError`."""
        return tuple(self.contents().keys.values())

    def change(self, edit: Edit) -> Contents:
        """Make one change on what is there. Raises `KeyFileError`, and what `edit` raises."""
        with self._writing():
            return self._changed(edit)

    def create(self, name: str, *, tenant: str = DEFAULT, models: tuple[str, ...] | None = None) -> NewKey:
        """Make a key and store its digest. The text is in the result and nowhere else. Raises `KeyFileError`."""
        with self._writing():
            return self._add(name, tenant, models)

    def create_first(self, name: str = "first") -> NewKey | None:
        """Make a key if there never was a key file: the first start. `None` when there is one.

        Raises `KeysGone` when there was one, and `KeyFileError`. Who loses the file, or takes it away, gets no new key
        by a restart.
        """
        with self._writing():
            return self._add(name, DEFAULT, None) if self.is_first() else None

    def is_first(self) -> bool:
        """Whether there never was a key file: its pepper is made with it. Raises `KeysGone`."""
        if self.path.exists():
            return False
        if self.pepper_path.exists():
            raise KeysGone(
                f"{self.path} is missing, and {self.pepper_path} says that there were keys: "
                "without them every caller is refused"
            )
        return True

    def revoke(self, id_or_name: str) -> Key:
        """Revoke a key for good; a revoked one stays as it is. Gateways follow within seconds.

        Raises `UnknownKey` when none or several that are not revoked answer to the name, and `KeyFileError`.
        """
        with self._writing():
            contents = self.contents()
            found = find(tuple(contents.keys.values()), id_or_name)
            if found.revoked_at is not None:
                return found
            revoked = msgspec.structs.replace(found, revoked_at=self.clock(), version=found.version + 1)
            self._store(contents.holding(Kind.KEY, revoked))
            return revoked

    def mint(self) -> Mint:
        """What makes keys for this file. Raises `KeyFileError`."""
        return Mint(Hmac(self.pepper()), self.random_bytes)

    def pepper(self) -> bytes:
        """The secret under which keys are hashed, made at first use. Raises `KeyFileError`."""
        found = read_private(self.pepper_path)
        if found is None:
            with self._writing():
                return self._pepper()
        return self._checked(found)

    def _pepper(self) -> bytes:
        """The same, for one who holds the lock."""
        found = read_private(self.pepper_path)
        if found is None:
            if self.path.exists():
                raise KeyFileError(
                    f"{self.pepper_path} is missing: the keys in {self.path} were hashed under it; "
                    "restore it, or remove the key file and create new keys"
                )
            found = self.random_bytes(PEPPER_BYTES)
            replace(self.pepper_path, found)
        return self._checked(found)

    def _checked(self, pepper: bytes) -> bytes:
        if len(pepper) != PEPPER_BYTES:
            raise KeyFileError(f"{self.pepper_path} has {len(pepper)} bytes instead of {PEPPER_BYTES}")
        return pepper

    @contextmanager
    def _writing(self) -> Iterator[None]:
        lock = FileLock(f"{self.path}.lock", timeout=_LOCK_SECONDS, mode=0o600)
        try:
            for folder in (self.path.parent, self.pepper_path.parent):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock.acquire()
        except Timeout as error:
            raise KeyFileError(f"{lock.lock_file} is held by another process") from error
        except OSError as error:
            raise KeyFileError(f"cannot write in {self.path.parent}: {error.strerror}") from error
        try:
            yield
        finally:
            lock.release()

    def _changed(self, edit: Edit) -> Contents:
        before = self.contents()
        after = edit(before)
        if after is not before:
            self._pepper()  # comes before the file, which without one would count as of a lost one
            self._store(after)
        return after

    def _add(self, name: str, tenant: str, models: tuple[str, ...] | None) -> NewKey:
        contents = self.contents()
        minted = Mint(Hmac(self._pepper()), self.random_bytes).make(contents.keys)
        now = self.clock()
        record = Key(
            id=minted.id,
            name=name,
            team=tenant,
            models=models,
            created=now,
            secrets=(Secret(digest=minted.digest, created=now),),
            version=1,
        )
        if tenant not in contents.teams:
            contents = contents.holding(Kind.TEAM, Team(name=tenant))
        self._store(contents.holding(Kind.KEY, record))
        return NewKey(record, minted.text)

    def _store(self, contents: Contents) -> None:
        replace(self.path, encode(contents))


def find(records: tuple[Key, ...], id_or_name: str) -> Key:
    """The key of that id, or the only one of that name that is not revoked. Raises `UnknownKey`."""
    by_id = [record for record in records if record.id == id_or_name]
    by_name = [record for record in records if record.name == id_or_name and record.revoked_at is None]
    found = by_id or by_name
    if len(found) == 1:
        return found[0]
    if found:
        raise UnknownKey(f"{len(found)} keys are called {id_or_name!r}: give the id instead")
    raise UnknownKey(f"no key has the id or name {id_or_name!r}")


class FileStore:
    """The key file as the store of a directory. One that has gone or is broken is not read again before it changes."""

    def __init__(self, file: KeyFile) -> None:
        self.file = file
        self._seen: object = None
        self._was_there = False
        self._broken: KeyFileError | None = None

    async def fetch(self) -> Contents | None:
        """See `Store.fetch`. Reads on the loop: a local file, and only when it was replaced."""
        return self.fetch_now()

    def fetch_now(self) -> Contents | None:
        """The same, for one who has no loop yet."""
        signature = _signature(self.file.path)
        if self._seen is not None and signature == self._seen:
            if self._broken is not None:
                raise self._broken
            return None
        had, self._seen = self._seen, signature
        self._was_there = self._was_there or signature != _GONE
        try:
            if signature == _GONE and had is not None:
                raise KeyFileError(f"{self.file.path} has gone: the keys read before stay in force")
            contents = self.file.contents()
        except KeyFileError as error:
            self._broken = error
            raise
        self._broken = None
        return contents

    async def change(self, edit: Edit) -> Contents:
        """See `Store.change`. Beside the loop: it waits for other writers and for the disk."""
        if self._was_there and _signature(self.file.path) == _GONE:
            # What was made of nothing would be in force without all other keys, and without what is suspended.
            raise KeyFileError(f"{self.file.path} has gone: restore it, nothing can be changed before")
        changed = await asyncio.to_thread(self.file.change, edit)
        self._seen = _TO_READ  # another may have written, and been read here, before this one is told of
        return changed


_GONE = ("gone",)
_TO_READ = ("to be read",)


def _signature(path: Path) -> tuple[object, ...]:
    """What changes when a file is replaced or written. Mode too: a file opened to others is refused."""
    try:
        found = path.stat()
    except OSError:
        return _GONE
    return found.st_ino, found.st_mtime_ns, found.st_size, found.st_mode


_: type[Store] = FileStore
