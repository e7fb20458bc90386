"""From a checked configuration to who may call: the directory, and what answers from it. For the gateway and the commands."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from datetime import time as midnight
from types import MappingProxyType
from typing import Any

from config import schema, secret_files
from config.paths import Paths
from config.schema import Config
from gateway.auth.anonymous import Anonymous
from gateway.auth.base import Authenticator
from gateway.auth.callers import Keys
from gateway.auth.directory.contents import EMPTY, Contents, DirectoryConflict, contents_of, merged
from gateway.auth.directory.database import DatabaseStore
from gateway.auth.directory.directory import Directory
from gateway.auth.directory.fields import checked
from gateway.auth.directory.records import Key, Organisation, Owner, Secret, Team, User
from gateway.auth.directory.store import Store
from gateway.auth.keys import FileStore, KeyFile
from gateway.auth.keytext import ENVIRONMENT, Mint, parts_of
from gateway.auth.private import KeyFileError
from gateway.auth.refusal import Refusals
from gateway.core.call import Reach, Role
from gateway.core.errors import InvalidRequest
from gateway.databases import database_of
from gateway.openai.operations import MODELS, OPERATIONS, USAGE
from gateway.store import Database

OPERATION_NAMES = frozenset({MODELS, USAGE, *(operation.name for operation in OPERATIONS.values())})
"""What a key may be restricted to."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What one process knows of callers. Without keys there is no directory."""

    authenticator: Authenticator
    refusals: Refusals
    directory: Directory | None = None
    followers: tuple[Callable[[], Coroutine[None, None, None]], ...] = ()
    """What has to run in the background beside the directory's `refresh`."""


def key_file(config: Config, paths: Paths) -> KeyFile:
    """The key file that `config` names."""
    return KeyFile(config.auth.keys_file or paths.keys, paths.pepper, time.time)


def identity_of(
    config: Config, paths: Paths, database: Database, *, clock: Callable[[], float] = time.time
) -> Identity:
    """Callers as `config` has them. `clock` gives Unix seconds. Nothing is known of a `database` before a `refresh`.

    Raises `KeyFileError` when a file with keys cannot be used, `DirectoryConflict` when what is declared cannot be.
    """
    refusals = Refusals()
    if config.auth.mode == "anonymous":
        return Identity(Anonymous(), refusals)
    file = key_file(config, paths)
    mint = file.mint()
    keys = Keys(mint, refusals, clock=clock)
    authenticator: Authenticator = keys
    publish: Callable[[Contents], None] = keys.publish
    followers: tuple[Callable[[], Coroutine[None, None, None]], ...] = ()
    if config.auth.jwt:
        authenticator, publish, followers = _with_tokens(config, paths, keys, refusals, clock)
    directory = _directory(config, file, lambda: mint, database, clock, publish)
    keys.is_stale = lambda: directory.is_stale
    keys.is_unread = lambda: directory.is_unread
    return Identity(authenticator, refusals, directory, followers)


@asynccontextmanager
async def opened(config: Config, paths: Paths) -> AsyncIterator[Directory]:
    """The directory for one command, as it is now; also where everybody may call.

    Raises as `identity_of`, and `StoreUnavailable`.
    """
    file, database = key_file(config, paths), database_of(config, paths)
    try:
        directory = _directory(config, file, file.mint, database, time.time, lambda _: None)
        await directory.refresh()
        yield directory
    finally:
        await database.close()


def _directory(
    config: Config,
    file: KeyFile,
    mint: Callable[[], Mint],
    database: Database,
    clock: Callable[[], float],
    on_change: Callable[[Contents], None],
) -> Directory:
    declared = _declared(config, mint)
    in_database = config.identity.store == "database"
    store: Store = (
        DatabaseStore(database, pepper=lambda: mint().check(), first=file.contents)
        if in_database
        else FileStore(file)
    )
    directory = Directory(
        store,
        declared,
        mint,
        operations=OPERATION_NAMES,
        clock=clock,
        on_change=on_change,
        stale_after=config.identity.stale_after if in_database else None,
    )
    if isinstance(store, FileStore):
        dynamic = store.fetch_now() or EMPTY
        merged(declared, dynamic)  # said before anything is started
        directory.publish(dynamic)
    else:
        on_change(directory.contents)
    return directory


def _declared(config: Config, mint: Callable[[], Mint]) -> Contents:
    """What the configuration declares. Raises `DirectoryConflict`, `KeyFileError`."""
    people = config.identity
    try:
        return contents_of(
            organisations=[
                Organisation(name=each.name, suspended=each.suspended, version=1, owner=Owner.DECLARED)
                for each in people.organisations
            ],
            # The same fields with the same meanings.
            teams=[Team(**each.model_dump(), version=1, owner=Owner.DECLARED) for each in people.teams],
            users=[_user(each) for each in people.users],
            keys=[_key(each, mint) for each in people.keys],
        )
    except InvalidRequest as error:
        raise DirectoryConflict(f"the configuration's identity: {error.message}") from error


def _user(user: schema.DeclaredUser) -> User:
    return User(
        name=user.name,
        team=user.team,
        kind=user.kind,
        role=None if user.role is None else Role(user.role),
        reach=Reach(user.reach),
        suspended=user.suspended,
        version=1,
        owner=Owner.DECLARED,
    )


def _key(key: schema.DeclaredKey, mint: Callable[[], Mint]) -> Key:
    env, public, digest = _digest(key, mint)
    until = key.expires
    found = checked(
        Key(
            id=public,
            name=key.name,
            team=key.team,
            user=key.user,
            models=key.models,
            operations=key.operations,
            networks=key.networks,
            highest_tier=key.highest_tier,
            expires_at=None if until is None else datetime.combine(until, midnight(), UTC).timestamp(),
            env=env,
            secrets=(Secret(digest=digest),),
            version=1,
            owner=Owner.DECLARED,
        ),
        OPERATION_NAMES,
    )
    assert isinstance(found, Key)  # noqa: S101 - what was given
    return found


def _digest(key: schema.DeclaredKey, mint: Callable[[], Mint]) -> tuple[str, str, str]:
    """The `<env>`, the id and the digest of a declared key."""
    if key.id is not None and key.digest is not None:
        return ENVIRONMENT, key.id, key.digest
    try:
        text = secret_files.secret_of(key.key, key.key_file, os.environ) or ""
        env, public = parts_of(text)
    except (secret_files.SecretFileError, ValueError) as error:
        raise KeyFileError(f"identity.keys, {key.name!r}: {error}") from error
    return env, public, mint().digest_of(text)


def _with_tokens(
    config: Config, paths: Paths, keys: Keys, refusals: Refusals, clock: Callable[[], float]
) -> tuple[Any, Callable[[Contents], None], tuple[Callable[[], Coroutine[None, None, None]], ...]]:
    """The authenticator that takes tokens too, what it has to be told, and what keeps its issuers' keys up to date."""
    from gateway.auth.jwt.fetching import from_file, from_url  # noqa: PLC0415 - loads cryptography, where it is used
    from gateway.auth.jwt.issuer import Issuer  # noqa: PLC0415 - the same
    from gateway.auth.jwt.keys import IssuerKeys  # noqa: PLC0415 - the same
    from gateway.auth.jwt.keyset import UnusableKeySet  # noqa: PLC0415 - the same
    from gateway.auth.jwt.tokens import Tokens  # noqa: PLC0415 - the same

    issuers = []
    for each in config.auth.jwt:
        algorithms = frozenset(each.algorithms)
        if each.jwks_url is not None:
            name = hashlib.sha256(each.jwks_url.encode()).hexdigest()[:32]
            held = IssuerKeys(
                each.issuer, algorithms, from_url(each.jwks_url), cache=paths.data / "jwks" / f"{name}.json"
            )
        else:
            assert each.jwks_file is not None  # noqa: S101 - the configuration was checked
            held = IssuerKeys(each.issuer, algorithms, from_file(each.jwks_file))
            try:
                held.take(each.jwks_file.read_bytes())
                if held.lack is not None:
                    raise UnusableKeySet(held.lack)
            except (OSError, UnusableKeySet) as error:
                raise KeyFileError(f"auth.jwt, {each.name!r}: {each.jwks_file}: {error}") from error
        issuer = Issuer(
            name=each.name,
            issuer=each.issuer,
            audience=each.audience,
            algorithms=algorithms,
            leeway=each.leeway,
            is_admin=each.use == "admin",
            user_claim=each.user_claim,
            team_claim=each.team_claim,
            team=each.team,
            teams=MappingProxyType(each.teams),
            organisation_claim=each.organisation_claim,
            role_claim=each.role_claim,
            roles=MappingProxyType({value: Role(role) for value, role in each.roles.items()}),
            reach=Reach(each.reach),
            tier_claim=each.tier_claim,
            tiers=MappingProxyType(dict(each.tiers)),
            highest_tier=each.highest_tier,
            keys_outlast_tokens=each.keys_outlast_tokens,
        )
        issuers.append((issuer, held))
    tokens = Tokens(issuers, keys, refusals, clock=clock)
    tokens.is_stale = lambda: keys.is_stale()  # noqa: PLW0108 - what it is by then
    tokens.is_unread = lambda: keys.is_unread()  # noqa: PLW0108 - the same

    def publish(directory: Contents) -> None:
        keys.publish(directory)
        tokens.publish(directory)

    return tokens, publish, tuple(held.follow for _, held in issuers)
