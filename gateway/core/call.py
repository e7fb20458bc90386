"""The values of one call: who asks, what for, where it may go.

All frozen: what is decided about a request is decided once, and later layers read it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is calling. `models` is `None` for all models, else the public names this caller may use."""

    tenant: str
    key_id: str
    models: frozenset[str] | None = None

    def may_use(self, model: str) -> bool:
        """Whether this caller may name `model`."""
        return self.models is None or model in self.models


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


@dataclass(frozen=True, slots=True)
class Call:
    """One accepted request. Times are monotonic seconds."""

    id: str
    principal: Principal
    operation: Operation
    model: str
    """Public model name."""
    stream: bool
    strip_usage: bool
    arrived: float
    deadline: float
