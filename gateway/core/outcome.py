"""How a call ended: the one record that metrics, the log line and the ledger are made of.

Named tuples, not frozen dataclasses: those set each field through `object.__setattr__`, 3.4 µs for the fifteen of `End`
against 1.2, once a call.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

from gateway.core.call import Principal, Tier


class Outcome(StrEnum):
    """Low-cardinality end of a call. An error class names its own in `GatewayError.outcome`."""

    OK = "ok"
    CLIENT_ERROR = "client_error"
    RATE_LIMITED = "rate_limited"
    REJECTED = "rejected"
    EVICTED = "evicted"
    CLIENT_GONE = "client_gone"
    UPSTREAM_ERROR = "upstream_error"
    INTERNAL_ERROR = "internal_error"


class Usage(NamedTuple):
    """Tokens of one call as the engine counted them."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0


Weighed = tuple[str, float, tuple[float, ...]]
"""One replica as a policy saw it when it chose: id, score, and what the score is made of, in the order of `Choice.terms`.

A plain tuple: many are kept, and the garbage collector leaves plain ones alone.
"""


class Choice(NamedTuple):
    """Why a policy chose the replica it did, where it tells: numbers it had anyway, nothing made for show."""

    terms: tuple[str, ...]
    """Names of the terms of each score."""
    candidates: tuple[Weighed, ...]
    """All that were compared, or the best of many."""
    cached_tokens: int | None = None
    """Prompt tokens that the chosen replica was expected to have in its cache."""


class Attempt(NamedTuple):
    """A dispatch that did not lead to the call's answer. Times are monotonic seconds."""

    replica: str
    dispatched: float
    ended: float
    why: str
    """The fault, a word of a closed list."""
    choice: Choice | None


class Trail(NamedTuple):
    """How a call came to its end: what only an explanation of it needs."""

    tier: Tier | None
    deadline: float | None
    parsed: float | None
    """When its body was understood."""
    queued: float | None
    """When it first took a place in the queue, `None` when it never had to."""
    waited: float
    """Seconds in the queue, all stays together."""
    former: tuple[Attempt, ...]
    """The attempts before the last."""
    fault: str | None
    """How the engine failed the last attempt, if it did."""
    choice: Choice | None
    """Of the last attempt."""
    left: tuple[tuple[str, str], ...] = ()
    """Models that did not serve it, each with the code of the reason."""


class End(NamedTuple):
    """A call that is over. Times are monotonic seconds; `None` where the call never got so far."""

    request_id: str
    operation: str
    principal: Principal | None
    model: str | None
    """Public model name, `None` unless it named one that exists: safe as a metric label."""
    stream: bool
    outcome: Outcome
    status: int
    """Status the client was sent; 499 when it left before one was."""
    code: str | None
    """The error's `code`."""
    replica: str | None
    attempts: int
    usage: Usage | None
    arrived: float
    dispatched: float | None
    first_content: float | None
    ended: float
    client: str | None = None
    """The address that the request came from, `None` on a unix socket."""
    trail: Trail | None = None
    delivered: int = 0
    """Tokens of a stream that were passed on, counted by its events: all that is known of one without `usage`."""
    asked: str | None = None
    """The name that the caller gave, where a route decides which model serves it: one of the configuration's."""


OnEnd = Callable[[End], None]
