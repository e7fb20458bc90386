"""The values of one call: who asks, what for, where it may go.

All frozen: what is decided about a request is decided once, and later layers read it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import NamedTuple


class Tier(IntEnum):
    """How urgent a call is: a higher one goes first."""

    FLEX = 0
    DEFAULT = 1
    PRIORITY = 2


class Role(StrEnum):
    """What a caller may do to the administration: read it; make and revoke keys as well; change everything."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"


class Reach(StrEnum):
    """Over what a role holds: the caller's own team, its whole organisation, or all of them."""

    TEAM = "team"
    ORGANISATION = "organisation"
    EVERYTHING = "everything"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is calling. `models` is `None` for all models, else the public names this caller may use.

    `tenant` is the team: fairness is between tenants, in proportion to their `weight`. A caller with a `role` came
    to administer and may not infer: one credential never does both.
    """

    tenant: str
    key_id: str
    models: frozenset[str] | None = None
    organisation: str = "default"
    user: str | None = None
    """A person or a service account, where the key belongs to one."""
    highest_tier: Tier = Tier.PRIORITY
    weight: float = 1.0
    model_prefixes: tuple[str, ...] = ()
    """What the names of further models begin with that this caller may use."""
    operations: frozenset[str] | None = None
    """Names of the operations this caller may ask for, `models` and `usage` among them; `None` for all."""
    role: Role | None = None
    reach: Reach = Reach.TEAM
    expires_at: float | None = None
    """When the credential ends, in Unix seconds: nothing that this caller makes may outlast it."""

    def may_use(self, model: str) -> bool:
        """Whether this caller may name `model`."""
        return self.models is None or model in self.models or model.startswith(self.model_prefixes)

    def may_call(self, operation: str) -> bool:
        """Whether this caller may ask for `operation`."""
        return self.role is None and (self.operations is None or operation in self.operations)


ANONYMOUS = Principal(tenant="anonymous", key_id="-")
"""Everybody, where keys are switched off."""


class Permission(StrEnum):
    """What a route asks of its caller."""

    OPEN = "open"
    INFER = "infer"


@dataclass(frozen=True, slots=True)
class Operation:
    """One row of the API table: how an inference request is recognised and where it goes.

    `path` is compared with the raw path byte for byte, and is also the path asked upstream: no part of a client's URL
    is ever joined to an engine's.
    """

    name: str
    method: bytes
    path: bytes
    permission: Permission


class Envelope(NamedTuple):
    """What the gateway reads from a request body.

    `body` is what goes upstream, encoded by us, with the public name of the model. `strip_usage` says that the usage
    event at the end of the stream was asked for by us and not by the client. `stripped` names the fields that were left
    out, as the value of a header; it is empty when none was.
    """

    model: str
    stream: bool
    strip_usage: bool
    body: bytes
    stripped: bytes
    answers: int = 1
    most_tokens: int | None = None
    """Tokens that one of the answers may have, as far as the request says."""
    session: str | None = None
    """What ties requests together that begin alike: OpenAI's `prompt_cache_key`, else `user`."""
    service_tier: str | None = None
    is_text: bool = False
    """It is known to hold text alone. Else it may hold anything."""


class Call(NamedTuple):
    """One request that was understood and may be served, as limits, the queue and the balancer see it.

    Times are monotonic seconds. A named tuple, as `End` is, for what making one costs.
    """

    id: str
    principal: Principal
    operation: str
    model: str
    """Public name."""
    arrived: float
    deadline: float
    tier: Tier
    envelope: Envelope
    asked: str | None = None
    """The public name that the caller gave, where `model` may be another that serves it."""
