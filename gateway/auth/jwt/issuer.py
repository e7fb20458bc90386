"""Whose tokens are taken, and how their claims become a caller."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from gateway.auth.directory.contents import Contents
from gateway.auth.directory.records import TierName, tier_of
from gateway.auth.directory.scopes import split
from gateway.core.call import Principal, Reach, Role

LONGEST_USER = 200
_LONGEST_KEY_ID = 128


def _nothing() -> Mapping[str, Any]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Issuer:
    """One issuer and audience. Names of claims may lead inwards: `realm_access.roles`."""

    name: str
    """For `key_id` of its callers: NAME:USER."""
    issuer: str
    audience: str
    algorithms: frozenset[str]
    leeway: float = 30.0
    """Seconds by which clocks may differ."""
    is_admin: bool = False
    """Its tokens administer, and infer nothing; else the reverse."""
    user_claim: str = "sub"
    team_claim: str | None = None
    team: str | None = None
    """The team of all whose token names none that we have."""
    teams: Mapping[str, str] = field(default_factory=_nothing)
    """Value of the claim → team; empty: the value is the team's name."""
    organisation_claim: str | None = None
    """Has to name the team's organisation, where it is given."""
    role_claim: str | None = None
    roles: Mapping[str, Role] = field(default_factory=_nothing)
    reach: Reach = Reach.TEAM
    tier_claim: str | None = None
    tiers: Mapping[str, TierName] = field(default_factory=_nothing)
    highest_tier: TierName = "priority"
    """Of those whose token names none."""
    keys_outlast_tokens: bool = False
    """Whether what its administrators make may outlast the token they came with."""

    def principal_of(
        self, claims: Mapping[str, Any], directory: Contents, expires_at: float | None = None
    ) -> Principal | None:
        """The caller of these claims; `None` when they name nobody, or somebody who may not call.

        `expires_at` is the token's end in Unix seconds.
        """
        user = _at(claims, self.user_claim)
        team = directory.teams.get(self._team_of(claims, directory) or "")
        if (
            not isinstance(user, str)
            or not 0 < len(user) <= LONGEST_USER
            or not user.isprintable()
            or team is None
        ):
            return None
        organisation = directory.organisations.get(team.organisation)
        known = directory.users.get(user)
        # One of the same name in another team is somebody else.
        is_suspended = known is not None and known.suspended and known.team == team.name
        if team.suspended or organisation is None or organisation.suspended or is_suspended:
            return None
        if self.organisation_claim and organisation.name not in _texts(_at(claims, self.organisation_claim)):
            return None
        role = self._role_of(claims)
        if self.is_admin and role is None:
            return None
        models, prefixes = split(team.models)
        return Principal(
            tenant=team.name,
            key_id=self._key_id(user),
            models=models,
            organisation=organisation.name,
            user=user,
            highest_tier=min(tier_of(self._tier_of(claims)), tier_of(team.highest_tier)),
            weight=team.weight,
            model_prefixes=prefixes,
            role=role,
            reach=self.reach if role is not None else Reach.TEAM,
            expires_at=None if self.keys_outlast_tokens else expires_at,
        )

    def _team_of(self, claims: Mapping[str, Any], directory: Contents) -> str | None:
        """The first team that the claim names and that there is, in the order of the claim."""
        named = () if self.team_claim is None else _texts(_at(claims, self.team_claim))
        teams = [self.teams.get(name) for name in named] if self.teams else list(named)
        return next((team for team in teams if team in directory.teams), self.team)

    def _role_of(self, claims: Mapping[str, Any]) -> Role | None:
        """The highest of the roles that the claim names. None where tokens do not administer."""
        if not self.is_admin or self.role_claim is None:
            return None
        named = {self.roles.get(name) for name in _texts(_at(claims, self.role_claim))}
        return next((role for role in (Role.ADMIN, Role.OPERATOR, Role.VIEWER) if role in named), None)

    def _tier_of(self, claims: Mapping[str, Any]) -> TierName:
        named = () if self.tier_claim is None else _texts(_at(claims, self.tier_claim))
        return next((self.tiers[name] for name in named if name in self.tiers), self.highest_tier)

    def _key_id(self, user: str) -> str:
        readable = f"{self.name}:{user}"
        return (
            readable
            if len(readable) <= _LONGEST_KEY_ID
            else f"{self.name}:{hashlib.sha256(user.encode()).hexdigest()[:32]}"
        )


def _at(claims: Mapping[str, Any], path: str) -> Any:
    """The claim of that name, or what lies at the end of its parts."""
    if path in claims:
        return claims[path]
    found: Any = claims
    for part in path.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found


def _texts(value: Any) -> Iterable[str]:
    """A claim that is one text or a list of them."""
    values = value if isinstance(value, list) else [value]
    return tuple(each for each in values if isinstance(each, str))
