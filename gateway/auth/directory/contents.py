"""All objects of a directory at one moment, and how they are written down."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, cast

import msgspec

from gateway.auth.directory.records import (
    DEFAULT,
    MOST_SECRETS,
    TYPES,
    Key,
    Kind,
    Organisation,
    Owner,
    Record,
    Secret,
    Team,
    User,
)
from gateway.auth.keytext import DIGEST, ENVIRONMENT

VERSION = 2
"""Of the key file. Version 1 had keys alone, each with the name of its team as `tenant`."""


def _nothing() -> Mapping[str, Any]:
    return MappingProxyType({})


class DirectoryConflict(Exception):
    """An object is both declared and dynamic, or stands alone: the text names it and says what mends it."""


@dataclass(frozen=True, slots=True)
class Contents:
    """Objects by kind and name (keys: by id), in the order in which they were made."""

    organisations: Mapping[str, Organisation] = field(default_factory=_nothing)
    teams: Mapping[str, Team] = field(default_factory=_nothing)
    users: Mapping[str, User] = field(default_factory=_nothing)
    keys: Mapping[str, Key] = field(default_factory=_nothing)

    def of(self, kind: Kind) -> Mapping[str, Record]:
        """All of one kind."""
        return cast("Mapping[str, Record]", getattr(self, kind.value))

    def holding(self, kind: Kind, record: Record) -> Contents:
        """The same with `record` added, or in the place of the one of its name."""
        return self.with_all(kind, {**self.of(kind), record.id: record})

    def without(self, kind: Kind, name: str) -> Contents:
        """The same without that object."""
        return self.with_all(kind, {each: record for each, record in self.of(kind).items() if each != name})

    def with_all(self, kind: Kind, records: dict[str, Record]) -> Contents:
        """The same with `records` as all of that kind."""
        values: dict[str, Any] = {kind.value: MappingProxyType(records)}
        return replace(self, **values)


def contents_of(
    *,
    organisations: Iterable[Organisation] = (),
    teams: Iterable[Team] = (),
    users: Iterable[User] = (),
    keys: Iterable[Key] = (),
) -> Contents:
    """Contents from plain lists."""
    return Contents(
        MappingProxyType({each.id: each for each in organisations}),
        MappingProxyType({each.id: each for each in teams}),
        MappingProxyType({each.id: each for each in users}),
        MappingProxyType({each.id: each for each in keys}),
    )


EMPTY = contents_of(organisations=[Organisation(name=DEFAULT)], teams=[Team(name=DEFAULT)])
"""A directory to which nobody has added anything."""


def with_defaults(contents: Contents) -> Contents:
    """The same with the organisation and the team `default`, where nobody wrote them."""
    for kind, record in (
        (Kind.ORGANISATION, EMPTY.organisations[DEFAULT]),
        (Kind.TEAM, EMPTY.teams[DEFAULT]),
    ):
        if DEFAULT not in contents.of(kind):
            contents = contents.holding(kind, cast("Record", record))
    return contents


def merged(declared: Contents, dynamic: Contents) -> Contents:
    """Both together. What nobody wrote yields to what is declared.

    Raises `DirectoryConflict` for an object of both owners, and for one whose organisation, team or user is not there.
    """
    for kind in Kind:
        for name in declared.of(kind):
            there = dynamic.of(kind).get(name)
            if there is not None and there.version:
                raise DirectoryConflict(
                    f"the {kind.one} {name!r} is declared in the configuration, and was made with a command "
                    "or the admin API too: remove one of the two"
                )
    together = overlaid(declared, dynamic)
    _check_whole(together)
    return together


def overlaid(declared: Contents, dynamic: Contents) -> Contents:
    """Both together, without complaint: what is declared counts where an object is in both."""
    return Contents(
        *[MappingProxyType({**dynamic.of(kind), **declared.of(kind)}) for kind in Kind],  # type: ignore[arg-type] # each kind holds its own type
    )


def _check_whole(contents: Contents) -> None:
    for team in contents.teams.values():
        if team.organisation not in contents.organisations:
            _alone(Kind.TEAM, team, Kind.ORGANISATION, team.organisation)
    for user in contents.users.values():
        if user.team not in contents.teams:
            _alone(Kind.USER, user, Kind.TEAM, user.team)
    for key in contents.keys.values():
        if key.team not in contents.teams:
            _alone(Kind.KEY, key, Kind.TEAM, key.team)
        if key.user is not None and key.user not in contents.users:
            _alone(Kind.KEY, key, Kind.USER, key.user)


def _alone(kind: Kind, record: Record, above: Kind, name: str) -> None:
    raise DirectoryConflict(
        f"the {kind.one} {record.name!r} belongs to the {above.one} {name!r}, which does not exist: create or declare it"
    )


class _Stored(msgspec.Struct, frozen=True, kw_only=True):
    version: int = 1
    organisations: tuple[Organisation, ...] = ()
    teams: tuple[Team, ...] = ()
    users: tuple[User, ...] = ()
    keys: tuple[Key, ...] = ()


class _First(msgspec.Struct, frozen=True, kw_only=True):
    """A key of version 1."""

    id: str
    name: str
    tenant: str
    digest: str
    env: str = ENVIRONMENT
    models: tuple[str, ...] | None = None
    created: float
    revoked_at: float | None = None


class _StoredFirst(msgspec.Struct, frozen=True, kw_only=True):
    keys: tuple[_First, ...] = ()


def encode(contents: Contents) -> bytes:
    """The text of a key file. What every directory has is left out."""
    stored = {
        kind.value: [
            record for record in contents.of(kind).values() if EMPTY.of(kind).get(record.id) != record
        ]
        for kind in Kind
    }
    return msgspec.json.format(msgspec.json.encode({"version": VERSION, **stored}), indent=1)


def decode(raw: bytes) -> Contents:
    """What `encode` wrote, or version 1. Raises `ValueError` with the reason why it is neither."""
    try:
        version = msgspec.json.decode(raw, type=_Version).version
        if version not in {1, VERSION}:
            raise ValueError(f"it has version {version}; this program reads 1 and {VERSION}")
        if version == 1:
            found = _from_first(msgspec.json.decode(raw, type=_StoredFirst))
        else:
            stored = msgspec.json.decode(raw, type=_Stored)
            found = contents_of(
                organisations=stored.organisations, teams=stored.teams, users=stored.users, keys=stored.keys
            )
    except msgspec.DecodeError as error:
        raise ValueError(str(error)) from error
    return _sound(found)


def to_bodies(contents: Contents) -> dict[tuple[str, str], str]:
    """Each object as JSON, by kind and name. What every directory has is left out."""
    return {
        (kind.value, record.id): msgspec.json.encode(record).decode()
        for kind in Kind
        for record in contents.of(kind).values()
        if EMPTY.of(kind).get(record.id) != record
    }


def from_bodies(bodies: Iterable[tuple[Kind, str]]) -> Contents:
    """What `to_bodies` wrote. Raises `ValueError` with the reason why it cannot be read."""
    found = Contents()
    parts: dict[Kind, dict[str, Record]] = {kind: {} for kind in Kind}
    try:
        for kind, body in bodies:
            record = msgspec.json.decode(body, type=TYPES[kind])
            parts[kind][record.id] = record
    except msgspec.DecodeError as error:
        raise ValueError(str(error)) from error
    for kind, records in parts.items():
        found = found.with_all(kind, records)
    return _sound(found)


def _sound(found: Contents) -> Contents:
    """`found` with what every directory has. Raises `ValueError`."""
    for key in found.keys.values():
        if any(not DIGEST.fullmatch(secret.digest) for secret in key.secrets):
            raise ValueError("a digest is not 64 hex digits")
        if not 1 <= len(key.secrets) <= MOST_SECRETS:
            raise ValueError(
                f"the key {key.id} has {len(key.secrets)} secrets instead of 1 or {MOST_SECRETS}"
            )
    if any(record.owner is not Owner.DYNAMIC for kind in Kind for record in found.of(kind).values()):
        raise ValueError("an object in it is not its own")
    return with_defaults(found)


class _Version(msgspec.Struct):
    version: int = 1


def _from_first(stored: _StoredFirst) -> Contents:
    keys = [
        Key(
            id=each.id,
            name=each.name,
            team=each.tenant,
            models=each.models,
            created=each.created,
            revoked_at=each.revoked_at,
            env=each.env,
            secrets=(Secret(digest=each.digest, created=each.created),),
            version=1,
        )
        for each in stored.keys
    ]
    return contents_of(keys=keys, teams=[Team(name=name) for name in dict.fromkeys(key.team for key in keys)])
