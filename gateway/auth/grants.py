"""What a key in the directory stands for right now: a caller and its conditions, or the reason why it is refused."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

from gateway.auth.directory.contents import Contents
from gateway.auth.directory.records import Key, Secret, tier_of
from gateway.auth.directory.scopes import common, split
from gateway.auth.refusal import Reason
from gateway.core.call import Principal, Reach

_ADDRESSES = 1024
"""Client addresses of which a key remembers whether it may be used from there."""


class Grant:
    """The answer to one secret of a key. `principal` is who calls; `refusal` says why nobody does."""

    __slots__ = ("expires_at", "has_conditions", "is_from", "principal", "refusal")

    def __init__(
        self,
        principal: Principal | None,
        refusal: Reason | None,
        expires_at: float | None = None,
        networks: tuple[str, ...] | None = None,
    ) -> None:
        self.principal = principal
        self.refusal = refusal
        self.expires_at = expires_at
        self.is_from: Callable[[str | None], bool] | None = None if networks is None else _within(networks)
        self.has_conditions = expires_at is not None or networks is not None or refusal is not None

    def refused(self, now: float, address: str | None) -> Reason | None:
        """Why this may not be used now, from there; `None` when it may."""
        if self.refusal is not None:
            return self.refusal
        if self.expires_at is not None and now >= self.expires_at:
            return Reason.EXPIRED
        if self.is_from is not None and not self.is_from(address):
            return Reason.ADDRESS
        return None


def grants_of(key: Key, directory: Contents) -> tuple[Grant, ...]:
    """One for each secret of the key."""
    principal = principal_of(key, directory)
    refusal: Reason | None
    if key.revoked_at is not None:
        refusal = Reason.REVOKED
    else:
        refusal = Reason.SUSPENDED if principal is None else None
    return tuple(_grant(principal, refusal, key, secret) for secret in key.secrets)


def _grant(principal: Principal | None, refusal: Reason | None, key: Key, secret: Secret) -> Grant:
    """Each secret has its own end: that of a rotated key's old text is not the key's."""
    end = _earlier(key, secret)
    if principal is not None and end is not None:
        principal = replace(principal, expires_at=end)
    return Grant(principal, refusal, end, key.networks)


def principal_of(key: Key, directory: Contents) -> Principal | None:
    """The caller that `key` stands for; `None` when something above it is suspended or not there."""
    team = directory.teams.get(key.team)
    if team is None or team.suspended:
        return None
    organisation = directory.organisations.get(team.organisation)
    if organisation is None or organisation.suspended:
        return None
    user = None if key.user is None else directory.users.get(key.user)
    if key.user is not None and (user is None or user.suspended):
        return None
    role = user.role if user is not None and key.is_admin else None
    if key.is_admin and role is None:
        return None
    models, prefixes = split(common(key.models, team.models))
    return Principal(
        tenant=team.name,
        key_id=key.id,
        models=models,
        organisation=organisation.name,
        user=key.user,
        highest_tier=min(tier_of(key.highest_tier), tier_of(team.highest_tier)),
        weight=team.weight,
        model_prefixes=prefixes,
        operations=None if key.operations is None else frozenset(key.operations),
        role=role,
        reach=Reach.TEAM if user is None or role is None else user.reach,
    )


def _earlier(key: Key, secret: Secret) -> float | None:
    ends = [end for end in (key.expires_at, secret.expires_at) if end is not None]
    return min(ends, default=None)


def _within(networks: tuple[str, ...]) -> Callable[[str | None], bool]:
    """Whether an address is in one of `networks`. A client whose address is not known is in none."""
    known = tuple(ipaddress.ip_network(network) for network in networks)

    @lru_cache(maxsize=_ADDRESSES)
    def is_from(address: str | None) -> bool:
        try:
            found = ipaddress.ip_address(address or "")
        except ValueError:
            return False
        mapped = getattr(found, "ipv4_mapped", None)
        return any((mapped or found) in network for network in known)

    return is_from
