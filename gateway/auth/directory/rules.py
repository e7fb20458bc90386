"""Who may see and change what: the role says what, the reach says whose, and nobody grants more than they have.

What is out of reach is answered as if it were not there.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from gateway.auth.directory.contents import Contents
from gateway.auth.directory.records import (
    LAST_SECOND,
    Key,
    Kind,
    Organisation,
    Owner,
    Record,
    Team,
    User,
    tier_of,
)
from gateway.auth.directory.scopes import Names, is_network_within, is_within
from gateway.auth.grants import principal_of
from gateway.core.call import Principal, Reach, Role, Tier
from gateway.core.errors import Conflict, Forbidden, NotFound

_ROLES = (Role.VIEWER, Role.OPERATOR, Role.ADMIN)
_REACHES = (Reach.TEAM, Reach.ORGANISATION, Reach.EVERYTHING)


@dataclass(frozen=True, slots=True)
class Actor:
    """Who administers. `organisation` and `team` are the bounds of what they see; `None` is no bound."""

    name: str
    """For the audit, and for `made_by` of keys."""
    role: Role
    organisation: str | None = None
    team: str | None = None
    models: Names = None
    networks: Names = None
    highest_tier: Tier = Tier.PRIORITY
    expires_at: float | None = None
    """The end of the credential used, in Unix seconds."""
    weight: float = 1.0
    """Of the own team. Whose reach is not everything gives no team that they make more."""
    key_id: str | None = None
    """The key of the directory that this one came with."""

    @property
    def reach(self) -> Reach:
        """How far this one sees."""
        if self.team is not None:
            return Reach.TEAM
        return Reach.EVERYTHING if self.organisation is None else Reach.ORGANISATION


LOCAL = Actor("local", Role.ADMIN)
"""Whoever may write to the data folder of this machine: may do everything."""


def actor_name(principal: Principal) -> str:
    """What the audit calls `principal`: `key:ID`, or `jwt:ISSUER:SUBJECT`. Only an issuer's ids hold a colon."""
    return f"{'jwt' if is_from_issuer(principal) else 'key'}:{principal.key_id}"


def is_from_issuer(principal: Principal) -> bool:
    """Whether an identity provider vouches for this one, and no key of the directory."""
    return ":" in principal.key_id


def actor_of(principal: Principal, key: Key | None) -> Actor:
    """The actor that `principal` is. `key` is the one it came with. Raises `Forbidden` for one without a role.

    A key that has gone since its caller was let in is no actor: nobody could say any more what it was restricted to.
    """
    if principal.role is None:
        raise Forbidden("This key is not for the administration.")
    if key is None and not is_from_issuer(principal):
        raise Forbidden("This key is not there any more.")
    prefixes = tuple(f"{prefix}*" for prefix in principal.model_prefixes)
    return Actor(
        name=actor_name(principal),
        role=principal.role,
        organisation=None if principal.reach is Reach.EVERYTHING else principal.organisation,
        team=principal.tenant if principal.reach is Reach.TEAM else None,
        models=None if principal.models is None else (*sorted(principal.models), *prefixes),
        networks=None if key is None else key.networks,
        highest_tier=principal.highest_tier,
        expires_at=None if principal.expires_at is None else min(principal.expires_at, LAST_SECOND),
        weight=principal.weight,
        key_id=None if key is None else key.id,
    )


def check_still_in_force(actor: Actor, contents: Contents, now: float) -> None:
    """Whether the actor is by now what it was when it was let in. Raises `Forbidden`.

    Between the two lie the reading of a body and the wait for other writers.
    """
    if actor.expires_at is not None and now >= actor.expires_at:
        raise Forbidden("The credential that you use has ended.")
    if actor.key_id is None:
        return
    key = contents.keys.get(actor.key_id)
    principal = None if key is None or key.revoked_at is not None else principal_of(key, contents)
    if principal is None or (principal.role, principal.reach) != (actor.role, actor.reach):
        raise Forbidden("The key that you use was revoked or changed meanwhile.")


def sees(actor: Actor, record: Record, contents: Contents) -> bool:
    """Whether `record` is within the actor's reach."""
    if isinstance(record, Organisation):
        return actor.organisation in {None, record.name}
    team = record if isinstance(record, Team) else contents.teams.get(record.team)
    if team is None:
        return actor.organisation is None
    return actor.organisation in {None, team.organisation} and actor.team in {None, team.name}


def found(actor: Actor, kind: Kind, name: str, contents: Contents) -> Record:
    """The object of that name. Raises `NotFound`, also for what is out of reach."""
    record = contents.of(kind).get(name)
    if record is None or not sees(actor, record, contents):
        raise NotFound(f"There is no {kind.one} `{name}`.")
    return record


def check_owner(kind: Kind, record: Record) -> None:
    """Refuse to change what the configuration declares. Raises `Conflict`."""
    if record.owner is Owner.DECLARED:
        raise Conflict(
            f"The {kind.one} `{record.name}` is declared in the configuration file and can only be changed there."
        )


def check_may_change(actor: Actor, kind: Kind, record: Record, contents: Contents) -> None:
    """Whether the actor may touch `record` at all. Raises `Forbidden`."""
    least = Role.OPERATOR if kind is Kind.KEY else Role.ADMIN
    if _ROLES.index(actor.role) < _ROLES.index(least):
        raise Forbidden(f"The role {actor.role} may not change {kind.value}.")
    widest = {Kind.ORGANISATION: Reach.EVERYTHING, Kind.TEAM: Reach.ORGANISATION}.get(kind, Reach.TEAM)
    if _REACHES.index(actor.reach) < _REACHES.index(widest):
        raise Forbidden(f"Only an admin of {_OVER[widest]} may change {kind.value}.")
    user = record if isinstance(record, User) else None
    if isinstance(record, Key) and record.is_admin:
        if actor.role is not Role.ADMIN:
            raise Forbidden(f"The role {actor.role} may not change keys for the administration.")
        user = contents.users.get(record.user or "")
    if user is not None:
        _check_not_above(actor, user)


def check_grant(actor: Actor, record: Record, before: Record | None, contents: Contents) -> None:
    """Whether `record`, as it shall be, grants no more than the actor has. Raises `Forbidden`, naming what is too much."""
    if isinstance(record, Team):
        _check_team(actor, record, before)
    elif isinstance(record, User):
        _check_not_above(actor, record)
        _check_not_outlasting(actor, record, before, contents)
    elif isinstance(record, Key):
        _check_key(actor, record, contents)


def _check_not_above(actor: Actor, user: User) -> None:
    if user.role is None:
        return
    if _ROLES.index(user.role) > _ROLES.index(actor.role) or _REACHES.index(user.reach) > _REACHES.index(
        actor.reach
    ):
        raise Forbidden(f"The user `{user.name}` has, or would have, a wider role than yours.")


def _check_not_outlasting(actor: Actor, user: User, before: Record | None, contents: Contents) -> None:
    """A wider role for keys that end later than the actor would be left behind by it."""
    if actor.expires_at is None or user.role is None or not isinstance(before, User):
        return
    was = -1 if before.role is None else _ROLES.index(before.role)
    is_wider = _ROLES.index(user.role) > was or _REACHES.index(user.reach) > _REACHES.index(before.reach)
    held = (key for key in contents.keys.values() if key.user == user.name and key.is_admin)
    if is_wider and any(key.revoked_at is None and not _ends_within(key, actor) for key in held):
        raise Forbidden(
            f"The user `{user.name}` has keys for the administration that {_OUTLAST} {_moment(actor.expires_at)}."
        )


def _ends_within(key: Key, actor: Actor) -> bool:
    if actor.expires_at is None:
        return True
    return key.expires_at is not None and key.expires_at <= actor.expires_at


def _moment(unix: float) -> str:
    return datetime.fromtimestamp(unix, UTC).isoformat(timespec="seconds")


def _check_team(actor: Actor, team: Team, before: Record | None) -> None:
    most = before.weight if isinstance(before, Team) else actor.weight
    if actor.reach is not Reach.EVERYTHING and team.weight > most:
        raise Forbidden(
            f"weight is over {most:g}: it is a share of what all have, and only an admin of everything may give more."
        )
    if tier_of(team.highest_tier) > actor.highest_tier:
        raise Forbidden("highest_tier is higher than your own.")
    if not is_within(team.models, actor.models):
        raise Forbidden("models holds more than you may use.")


def _check_key(actor: Actor, key: Key, contents: Contents) -> None:
    if not is_within(key.models, actor.models):
        raise Forbidden("models holds more than you may use: name some of yours.")
    if not is_network_within(key.networks, actor.networks):
        raise Forbidden("networks holds more than you may call from: name some of yours.")
    if tier_of(key.highest_tier) > actor.highest_tier:
        raise Forbidden("highest_tier is higher than your own.")
    if actor.expires_at is not None and not _ends_within(key, actor):
        raise Forbidden(f"The key would {_OUTLAST} {_moment(actor.expires_at)}: set an earlier expires_at.")
    user = None if key.user is None else contents.users[key.user]
    if key.is_admin and (user is None or user.role is None):
        raise Forbidden("A key for the administration belongs to a user with a role.")


_OUTLAST = "outlast the credential you use, which ends at"
_OVER = {Reach.TEAM: "the team", Reach.ORGANISATION: "the organisation", Reach.EVERYTHING: "everything"}
