"""What others may set of an object, and whether a value makes sense. Every refusal names its field."""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from gateway.auth.directory.records import ADMIN, LAST_SECOND, TYPES, Key, Kind, Record, Team
from gateway.core.errors import InvalidRequest

_OF_A_TEAM = frozenset({"weight", "highest_tier", "models", "suspended"})
_OF_A_USER = frozenset({"kind", "role", "reach", "suspended"})
_OF_A_KEY = frozenset({"name", "models", "operations", "networks", "highest_tier", "expires_at"})

CHANGEABLE: Mapping[Kind, frozenset[str]] = MappingProxyType(
    {
        Kind.ORGANISATION: frozenset({"suspended"}),
        Kind.TEAM: _OF_A_TEAM,
        Kind.USER: _OF_A_USER,
        Kind.KEY: _OF_A_KEY,
    }
)
"""Fields that may be set later. Names, and what an object belongs to, are for good."""

SETTABLE: Mapping[Kind, frozenset[str]] = MappingProxyType(
    {
        Kind.ORGANISATION: CHANGEABLE[Kind.ORGANISATION] | {"name"},
        Kind.TEAM: _OF_A_TEAM | {"name", "organisation"},
        Kind.USER: _OF_A_USER | {"name", "team"},
        Kind.KEY: _OF_A_KEY | {"team", "user"},
    }
)
"""Fields that may be set when an object is made. All others are the directory's own."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}")
_MODEL = re.compile(r"\*|[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,255}\*?")
_LONGEST_KEY_NAME = 128
_MOST_ENTRIES = 256
_HIGHEST_WEIGHT = 1000.0
_AT = re.compile(r" - at `\$\.?([a-z_]*).*`$")


def made(kind: Kind, fields: Mapping[str, Any], operations: Collection[str], **own: Any) -> Record:
    """The object that `fields` describe, `own` being set by us. Raises `InvalidRequest`."""
    _check_names(kind, fields, SETTABLE[kind])
    return checked(_converted(kind, {**fields, **own}), operations)


def changed(kind: Kind, record: Record, fields: Mapping[str, Any], operations: Collection[str]) -> Record:
    """`record` with `fields` in place of its own. Raises `InvalidRequest`."""
    _check_names(kind, fields, CHANGEABLE[kind])
    before = msgspec.to_builtins(record)
    return checked(_converted(kind, {**before, **fields}), operations)


def checked(record: Record, operations: Collection[str]) -> Record:
    """`record` itself when its values make sense. Raises `InvalidRequest`."""
    if not isinstance(record, Key) and not _NAME.fullmatch(record.name):
        _refuse(
            "name",
            "a name has 1 to 128 letters, digits or any of . _ @ + - and begins with a letter or digit",
        )
    if isinstance(record, Team):
        _check_models(record.models)
        if not (math.isfinite(record.weight) and 0 < record.weight <= _HIGHEST_WEIGHT):
            _refuse("weight", f"a weight is over 0 and at most {_HIGHEST_WEIGHT:g}")
    if isinstance(record, Key):
        _check_key(record, operations)
    return record


def _check_key(key: Key, operations: Collection[str]) -> None:
    if not 1 <= len(key.name) <= _LONGEST_KEY_NAME or not key.name.isprintable():
        _refuse("name", f"the name of a key has 1 to {_LONGEST_KEY_NAME} printable characters")
    _check_models(key.models)
    _check_networks(key.networks)
    if key.operations is not None:
        _check_entries("operations", key.operations)
        for name in key.operations:
            if name not in operations and name != ADMIN:
                _refuse("operations", f"{name!r} is none of {', '.join(sorted(operations))}, {ADMIN}")
        if key.is_admin and len(key.operations) > 1:
            _refuse("operations", "a key that may administer may do nothing else: make another for the rest")
        if key.is_admin and key.user is None:
            _refuse("user", "a key that may administer belongs to a user with a role")
    if key.expires_at is not None and not 0 <= key.expires_at <= LAST_SECOND:
        _refuse("expires_at", "expected Unix seconds, up to the end of the year 9999")


def _check_models(models: tuple[str, ...] | None) -> None:
    if models is None:
        return
    _check_entries("models", models)
    for name in models:
        if not _MODEL.fullmatch(name):
            _refuse("models", f"{name!r} is neither the name of a model nor PREFIX*")


def _check_networks(networks: tuple[str, ...] | None) -> None:
    if networks is None:
        return
    _check_entries("networks", networks)
    for network in networks:
        try:
            ipaddress.ip_network(network)
        except ValueError:
            _refuse("networks", f"{network!r} is no address or network such as 10.0.0.0/8, without host bits")


def _check_entries(field: str, entries: tuple[str, ...]) -> None:
    if not 1 <= len(entries) <= _MOST_ENTRIES:
        _refuse(field, f"{field} has 1 to {_MOST_ENTRIES} entries; leave it out, or null, for all")


def _check_names(kind: Kind, fields: Mapping[str, Any], allowed: frozenset[str]) -> None:
    for name in fields:
        if name not in allowed:
            _refuse(name, f"{name!r} of a {kind.one} cannot be set here: {', '.join(sorted(allowed))} can")


def _converted(kind: Kind, values: Mapping[str, Any]) -> Record:
    try:
        return msgspec.convert(dict(values), TYPES[kind])
    except msgspec.ValidationError as error:
        text = str(error)
        at = _AT.search(text)
        missing = re.search(r"missing required field `([a-z_]+)`", text)
        field = missing[1] if missing else at[1] if at else ""
        raise InvalidRequest(
            f"{field}: {_AT.sub('', text)}" if field else text, param=field or None
        ) from None


def _refuse(field: str, message: str) -> None:
    raise InvalidRequest(message, param=field)
