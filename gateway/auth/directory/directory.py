"""The directory as the admin API and the commands use it: read and change, checked, one version of truth.

How to use it from a route:

    actor = directory.actor(authenticator.authenticate(token, address))   # Unauthenticated, Forbidden
    team = directory.read(actor, Kind.TEAM, name)                          # NotFound; `team.version` is its ETag
    team = await directory.update(actor, Kind.TEAM, name, fields, expected=version)
    new = await directory.create_key(actor, fields)                        # `new.text` is shown once

`fields` is what the caller sent, decoded from JSON and not checked by anybody before: unknown fields, wrong types and
values are refused here (`SETTABLE`, `CHANGEABLE`). Records are msgspec structs: `msgspec.to_builtins(record)` gives what may
be shown, but leave out a key's `secrets`. Every refusal is a `GatewayError` with its status: 400 InvalidRequest with `param`,
403 Forbidden (the role, or more than the maker has), 404 NotFound (also what is out of reach), 409 Conflict (there already,
declared, still needed), 412 VersionMismatch, 503 StoreUnavailable. An audit writes `actor.name`, and the record before
(`read`) and after (what is returned).

Reading is synchronous and from memory. What was changed here is in force here when the call returns, and everywhere after
the others' next `refresh`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, cast

import msgspec

from gateway.auth.directory import fields as checks
from gateway.auth.directory.contents import EMPTY, Contents, merged, overlaid
from gateway.auth.directory.records import DEFAULT, MOST_SECRETS, Key, Kind, Record, Secret
from gateway.auth.directory.rules import (
    Actor,
    actor_of,
    check_grant,
    check_may_change,
    check_owner,
    check_still_in_force,
    found,
    sees,
)
from gateway.auth.directory.store import Store
from gateway.auth.keys import NewKey
from gateway.auth.keytext import Mint
from gateway.core.call import Principal, Reach
from gateway.core.errors import Conflict, Forbidden, InvalidRequest, NotFound, VersionMismatch

LONGEST_OVERLAP = 30 * 86_400.0
"""Seconds that the old text of a rotated key may work on."""


class Directory:
    """Organisations, teams, users and keys: the declared ones and those of a store, as one."""

    def __init__(
        self,
        store: Store,
        declared: Contents,
        mint: Callable[[], Mint],
        *,
        operations: Collection[str],
        clock: Callable[[], float],
        on_change: Callable[[Contents], None] = lambda _: None,
        stale_after: float | None = None,
    ) -> None:
        """`operations` are the names a key may be restricted to; `clock` gives Unix seconds.

        `stale_after` is for how many seconds the store may be away; then its keys are not believed any more. Its
        organisations, teams and users stay: without them, what is suspended or restricted would not be.

        Nothing of the store is known before the first `refresh` or `publish`. `on_change` is told of each new state.
        """
        self._store = store
        self._declared = declared
        self._mint = mint
        self._operations = frozenset(operations)
        self._clock = clock
        self._on_change = on_change
        self._stale_after = stale_after
        self._dynamic = EMPTY
        self._is_forgotten = False
        self.contents = overlaid(declared, EMPTY)
        """All that is in force, whoever owns it."""
        self.problem: str | None = None
        """Why the store's state is not in force as it is; `None` while it is."""
        self.fetched_at: float | None = None
        """When the store was last read with success, in Unix seconds."""

    def __repr__(self) -> str:
        held = ", ".join(f"{len(self.contents.of(kind))} {kind.value}" for kind in Kind)
        return f"<Directory {held}{f', {self.problem}' if self.problem else ''}>"

    async def start(self) -> None:
        """The first `refresh`, before anybody is served.

        Raises `DirectoryConflict` where the store and what is declared contradict each other, and as `refresh`.
        """
        await self.refresh()
        merged(self._declared, self._dynamic)

    async def refresh(self) -> bool:
        """Take up what others changed; whether there was anything. To be called every few seconds.

        Raises `KeyFileError` or `StoreUnavailable`, once for each cause: what was known before stays in force.
        """
        try:
            contents = await self._store.fetch()
        except Exception as error:
            is_new, self.problem = str(error) != self.problem, str(error)
            self._forget_what_is_stale()
            if is_new:
                raise
            return False
        if contents is None and not self._is_forgotten:
            self.fetched_at, self.problem = self._clock(), None
            return False
        self.publish(self._dynamic if contents is None else contents)
        return True

    def publish(self, dynamic: Contents) -> None:
        """Put a state of the store in force, with what is declared laid over it."""
        self.fetched_at = self._clock()
        self.problem = None
        self._dynamic, self._is_forgotten = dynamic, False
        self.contents = overlaid(self._declared, dynamic)
        self._on_change(self.contents)

    @property
    def is_stale(self) -> bool:
        """Whether nobody knows any more, or yet, what the store holds: an unknown key may be a good one."""
        if self._stale_after is None:
            return False
        return self.fetched_at is None or self._clock() - self.fetched_at > self._stale_after

    @property
    def is_unread(self) -> bool:
        """Whether nothing of the store is known: what is not declared may be suspended or restricted there."""
        return self._stale_after is not None and self.fetched_at is None

    def _forget_what_is_stale(self) -> None:
        if self.is_stale and not self._is_forgotten:
            self._is_forgotten = True
            self.contents = overlaid(self._declared, self._dynamic.with_all(Kind.KEY, {}))
            self._on_change(self.contents)

    def actor(self, principal: Principal) -> Actor:
        """Whoever `principal` is, as one who administers. Raises `Forbidden` for one that came to infer."""
        return actor_of(principal, self.contents.keys.get(principal.key_id))

    def read(self, actor: Actor, kind: Kind, name: str) -> Record:
        """The object of that name (keys: of that id). Raises `NotFound`."""
        return found(actor, kind, name, self.contents)

    def list(self, actor: Actor, kind: Kind) -> tuple[Record, ...]:
        """All of a kind that the actor sees, oldest first, what is declared last."""
        return tuple(each for each in self.contents.of(kind).values() if sees(actor, each, self.contents))

    async def create(self, actor: Actor, kind: Kind, fields: Mapping[str, Any]) -> Record:
        """Make an organisation, team or user. Raises what the module says."""
        if kind is Kind.KEY:
            raise ValueError("keys are made by create_key")
        own = _own_share(actor) if kind is Kind.TEAM else {}
        given = {name: value for name, value in fields.items() if value is not None or name not in own}
        record = checks.made(kind, {**own, **given}, self._operations, version=1)

        def edit(dynamic: Contents, everything: Contents) -> Contents:
            there = everything.of(kind).get(record.id)
            if there is not None and there.version:
                check_owner(kind, there)
                raise Conflict(f"There is a {kind.one} `{record.name}` already.")
            self._check_above(actor, record, everything)
            check_may_change(actor, kind, record, everything)
            check_grant(actor, record, None, everything)
            return dynamic.holding(kind, record)

        return (await self._change(actor, edit)).of(kind)[record.id]

    async def update(
        self,
        actor: Actor,
        kind: Kind,
        name: str,
        fields: Mapping[str, Any],
        *,
        expected: int | None = None,
    ) -> Record:
        """Change fields of an object; `expected` is the version that the caller has read. Raises what the module says."""

        def change(before: Record, everything: Contents) -> Record:
            after = checks.changed(kind, before, fields, self._operations)
            check_may_change(actor, kind, after, everything)
            check_grant(actor, after, before, everything)
            return after

        return await self._replace(actor, kind, name, expected, change)

    async def delete(self, actor: Actor, kind: Kind, name: str, *, expected: int | None = None) -> Record:
        """Take an object out, and return it. Raises what the module says; Conflict while others belong to it.

        A key is revoked first: a key that is only gone could not be told from one that never was.
        """
        taken: list[Record] = []

        def edit(dynamic: Contents, everything: Contents) -> Contents:
            record = self._touched(actor, kind, name, expected, everything)
            _check_not_needed(kind, record, everything)
            taken[:] = [record]
            return dynamic.without(kind, record.id)

        await self._change(actor, edit)
        return taken[0]

    async def create_key(self, actor: Actor, fields: Mapping[str, Any]) -> NewKey:
        """Make a key. A scope that `fields` leave out is the actor's own. Raises what the module says."""
        now = self._clock()
        scopes = _own_scopes(actor)
        own = {
            name: value for name, value in scopes.items() if fields.get(name) is None and value is not None
        }
        mint = self._mint()  # before the store's lock is taken: it may have to make the pepper under the same
        made: list[NewKey] = []

        def edit(dynamic: Contents, everything: Contents) -> Contents:
            minted = mint.make(everything.keys)
            secrets = [{"digest": minted.digest, "created": now}]
            given = {name: value for name, value in fields.items() if name not in own}
            record = cast(
                "Key",
                checks.made(
                    Kind.KEY,
                    given,
                    self._operations,
                    **{
                        **own,
                        "id": minted.id,
                        "secrets": secrets,
                        "created": now,
                        "made_by": actor.name,
                        "version": 1,
                    },
                ),
            )
            if record.expires_at is not None and record.expires_at <= now:
                raise InvalidRequest("expires_at is in the past.", param="expires_at")
            self._check_above(actor, record, everything)
            check_may_change(actor, Kind.KEY, record, everything)
            check_grant(actor, record, None, everything)
            made[:] = [NewKey(record, minted.text)]
            return dynamic.holding(Kind.KEY, record)

        await self._change(actor, edit)
        return made[0]

    async def rotate_key(
        self, actor: Actor, key_id: str, *, overlap: float, expected: int | None = None
    ) -> NewKey:
        """Give a key another text; the one before works for `overlap` seconds more. Raises what the module says."""
        if not 0 <= overlap <= LONGEST_OVERLAP:
            raise InvalidRequest(f"overlap is 0 to {LONGEST_OVERLAP:g} seconds.", param="overlap")
        now = self._clock()
        mint = self._mint()
        texts: list[str] = []

        def change(before: Record, everything: Contents) -> Record:
            key = cast("Key", before)
            if not key.is_valid(now):
                raise Conflict(f"The key `{key.id}` is revoked or expired: make another.")
            check_grant(actor, key, key, everything)
            minted = mint.make(public=key.id, env=key.env)
            texts[:] = [minted.text]
            old = msgspec.structs.replace(key.secrets[0], expires_at=now + overlap)
            kept = (Secret(digest=minted.digest, created=now), *([old] if overlap else []))
            return msgspec.structs.replace(key, secrets=kept[:MOST_SECRETS])

        record = await self._replace(actor, Kind.KEY, key_id, expected, change)
        return NewKey(cast("Key", record), texts[0])

    async def revoke_key(self, actor: Actor, key_id: str, *, expected: int | None = None) -> Key:
        """Refuse a key from now on; one that is revoked stays as it is. Raises what the module says."""

        def change(before: Record, _: Contents) -> Record:
            key = cast("Key", before)
            return (
                key if key.revoked_at is not None else msgspec.structs.replace(key, revoked_at=self._clock())
            )

        return cast("Key", await self._replace(actor, Kind.KEY, key_id, expected, change))

    async def _replace(
        self,
        actor: Actor,
        kind: Kind,
        name: str,
        expected: int | None,
        change: Callable[[Record, Contents], Record],
    ) -> Record:
        def edit(dynamic: Contents, everything: Contents) -> Contents:
            before = self._touched(actor, kind, name, expected, everything)
            after = change(before, everything)
            if after == before:
                return dynamic
            return dynamic.holding(kind, msgspec.structs.replace(after, version=before.version + 1))

        return (await self._change(actor, edit)).of(kind)[name]

    async def _change(self, actor: Actor, edit: Callable[[Contents, Contents], Contents]) -> Contents:
        """Let `edit` make a new dynamic part out of the one there is and of everything; put it in force."""

        def checked(dynamic: Contents) -> Contents:
            everything = overlaid(self._declared, dynamic)
            check_still_in_force(actor, everything, self._clock())
            return edit(dynamic, everything)

        dynamic = await self._store.change(checked)
        self.publish(dynamic)
        return self.contents

    def _touched(
        self, actor: Actor, kind: Kind, name: str, expected: int | None, everything: Contents
    ) -> Record:
        """The object to be changed, once it is clear that the actor may and has seen what it is now."""
        record = found(actor, kind, name, everything)
        check_may_change(actor, kind, record, everything)
        check_owner(kind, record)
        if expected is not None and expected != record.version:
            raise VersionMismatch(
                f"The {kind.one} `{name}` has version {record.version} by now: read it again."
            )
        return record

    def _check_above(self, actor: Actor, record: Record, everything: Contents) -> None:
        """Whether what the new object belongs to is there and within reach. Raises `InvalidRequest`, `Forbidden`."""
        above: list[tuple[Kind, str | None]] = [
            (Kind.ORGANISATION, getattr(record, "organisation", None)),
            (Kind.TEAM, getattr(record, "team", None)),
            (Kind.USER, getattr(record, "user", None)),
        ]
        for kind, name in above:
            if name is None:
                continue
            try:
                holder = found(actor, kind, name, everything)
            except NotFound as error:
                raise InvalidRequest(error.message, param=kind.one) from None
            if isinstance(record, Key) and kind is Kind.USER and getattr(holder, "team", None) != record.team:
                raise InvalidRequest(f"The user `{name}` is not of the team `{record.team}`.", param="user")
        if not sees(actor, record, everything):
            raise Forbidden("That is beyond your reach.")


def _own_share(actor: Actor) -> dict[str, Any]:
    """What a team gets that its maker did not restrict: what the maker has."""
    return {
        "models": actor.models,
        "highest_tier": actor.highest_tier.name.lower(),
        "weight": 1.0 if actor.reach is Reach.EVERYTHING else min(1.0, actor.weight),
    }


def _own_scopes(actor: Actor) -> dict[str, Any]:
    """What a key gets that its maker did not restrict: what the maker has."""
    tier = actor.highest_tier.name.lower()
    return {
        "models": actor.models,
        "networks": actor.networks,
        "expires_at": actor.expires_at,
        "highest_tier": tier,
    }


def _check_not_needed(kind: Kind, record: Record, everything: Contents) -> None:
    """Raises `Conflict` while something hangs on `record`."""
    if isinstance(record, Key):
        if record.revoked_at is None:
            raise Conflict(f"The key `{record.id}` is not revoked: revoke it first.")
        return
    if kind in {Kind.ORGANISATION, Kind.TEAM} and record.name == DEFAULT:
        raise Conflict(f"The {kind.one} `{DEFAULT}` is for those who name none: it stays.")
    below = {
        Kind.ORGANISATION: [(Kind.TEAM, "organisation")],
        Kind.TEAM: [(Kind.USER, "team"), (Kind.KEY, "team")],
        Kind.USER: [(Kind.KEY, "user")],
    }[kind]
    for lower, name in below:
        holding = [each for each in everything.of(lower).values() if getattr(each, name) == record.name]
        if holding:
            raise Conflict(
                f"The {kind.one} `{record.name}` still has {len(holding)} {lower.value}: delete them first, "
                "or suspend it."
            )
