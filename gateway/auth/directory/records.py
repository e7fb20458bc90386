"""What the directory holds: organisations, teams, users and keys. Frozen, as they are stored and shown.

Times are Unix seconds. `version` counts an object's changes; 0 is one that nobody wrote and that is there all the same:
the organisation and the team `default`, and the teams of keys from before there were teams.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

import msgspec

from gateway.auth.keytext import ENVIRONMENT
from gateway.core.call import Reach, Role, Tier

DEFAULT = "default"
"""The organisation and the team of those who named none."""
ADMIN = "admin"
"""The operation of a key that may administer. Such a key may do nothing else."""

MOST_SECRETS = 2
"""That a key has at once: the new one and, while it is rotated, the old one."""

LAST_SECOND = 253_402_300_799.0
"""The end of the year 9999: later times cannot be shown."""

TierName = Literal["flex", "default", "priority"]


class Owner(StrEnum):
    """Who changes an object: the configuration file, or commands and the admin API."""

    DECLARED = "declared"
    DYNAMIC = "dynamic"


class Kind(StrEnum):
    """The four kinds of objects."""

    ORGANISATION = "organisations"
    TEAM = "teams"
    USER = "users"
    KEY = "keys"

    @property
    def one(self) -> str:
        """A single one, for messages."""
        return {"organisations": "organisation", "teams": "team", "users": "user", "keys": "key"}[self.value]


def tier_of(name: TierName) -> Tier:
    """The tier of that name."""
    return Tier[name.upper()]


class Organisation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The top: teams that belong together."""

    name: str
    suspended: bool = False
    """Keys of its teams are refused."""
    version: int = 0
    owner: Owner = Owner.DYNAMIC

    @property
    def id(self) -> str:
        """What finds it."""
        return self.name


class Team(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A tenant: what is fair is fair between teams."""

    name: str
    organisation: str = DEFAULT
    weight: float = 1.0
    """Its share of engines that are short, in proportion to the others'."""
    highest_tier: TierName = "priority"
    models: tuple[str, ...] | None = None
    """Names or `prefix*`; `None` for all. A key may use what its team may as well."""
    suspended: bool = False
    version: int = 0
    owner: Owner = Owner.DYNAMIC

    @property
    def id(self) -> str:
        """What finds it."""
        return self.name


class User(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A person or a service account of one team."""

    name: str
    team: str = DEFAULT
    kind: Literal["person", "service"] = "person"
    role: Role | None = None
    """What its admin keys may do; `None`: it can have none."""
    reach: Reach = Reach.TEAM
    suspended: bool = False
    version: int = 0
    owner: Owner = Owner.DYNAMIC

    @property
    def id(self) -> str:
        """What finds it."""
        return self.name


class Secret(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One of the at most two texts that a key has while it is rotated."""

    digest: str
    """HMAC-SHA-256 in hex."""
    created: float = 0.0
    expires_at: float | None = None


class Key(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One key. Holds nothing from which its text could be made. `None` in a scope is "all"."""

    id: str
    name: str
    team: str = DEFAULT
    user: str | None = None
    models: tuple[str, ...] | None = None
    """Names, or `prefix*`."""
    operations: tuple[str, ...] | None = None
    """Names of operations; `("admin",)` alone for a key that administers."""
    networks: tuple[str, ...] | None = None
    """Addresses or networks (CIDR) it may be used from."""
    highest_tier: TierName = "priority"
    expires_at: float | None = None
    revoked_at: float | None = None
    created: float = 0.0
    made_by: str | None = None
    env: str = ENVIRONMENT
    secrets: tuple[Secret, ...] = ()
    """Newest first."""
    version: int = 0
    owner: Owner = Owner.DYNAMIC

    @property
    def is_admin(self) -> bool:
        """Whether it is for the administration."""
        return self.operations is not None and ADMIN in self.operations

    def is_valid(self, now: float) -> bool:
        """Whether it is neither revoked nor expired. Its team or user may still be suspended."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


Record = Organisation | Team | User | Key
TYPES: dict[Kind, type[Organisation | Team | User | Key]] = {
    Kind.ORGANISATION: Organisation,
    Kind.TEAM: Team,
    Kind.USER: User,
    Kind.KEY: Key,
}
