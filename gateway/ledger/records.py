"""What is written down of a call: that it began, how far its stream is, how it ended.

An `Ended` holds all that its row in the database needs. A `Began` is for calls whose gateway dies: of one that is never
followed by its `Ended` the next start makes a row with the outcome `UNKNOWN`.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from gateway.ledger.cost import Price

UNKNOWN = "unknown"
"""The outcome of a call whose gateway died: nobody saw its end."""


class Who(Struct, array_like=True, frozen=True, gc=False):
    """Whose call it is and what it asks for."""

    request_id: str
    organisation: str
    team: str
    user: str
    """Empty where the key belongs to nobody in particular."""
    key_id: str
    model: str
    operation: str
    tier: int
    stream: bool
    asked: str = ""
    """The name that the caller gave, where a route decides which model serves it; else empty."""


class Began(Struct, array_like=True, frozen=True, gc=False, tag=0):
    """A call is about to be sent to an engine. `at` is in Unix seconds."""

    id: str
    at: float
    who: Who
    replica: str
    prompt_estimate: int
    most_tokens: int
    """The most that its answers may have, as far as the request says; 0 when it does not."""


class Progress(Struct, array_like=True, frozen=True, gc=False, tag=1):
    """So many tokens of its stream have reached the client."""

    id: str
    tokens: int


class Ended(Struct, array_like=True, frozen=True, gc=False, tag=2):
    """A call is over. Durations in milliseconds; `None` where the call never got so far."""

    id: str
    at: float
    who: Who
    outcome: str
    status: int
    code: str | None
    replica: str | None
    attempts: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    estimated: bool
    """Whether the tokens were counted here, since the engine did not say."""
    queue_ms: int | None
    first_content_ms: int | None
    total_ms: int | None
    cost: int | None = None
    """In millionths of the currency that prices are in; `None` where the model has none."""


Record = Began | Progress | Ended

encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(Record).decode
"""Raises `msgspec.DecodeError`."""

_BEFORE_THE_END = (b"\x97\x00", b"\x93\x01")
"""How a `Began` and a `Progress` begin: the length of the array, then the tag (msgpack's fixarray and fixint)."""


def is_before_the_end(payload: bytes) -> bool:
    """Whether a record is a `Began` or a `Progress`, without reading it."""
    return payload.startswith(_BEFORE_THE_END)


def unknown(began: Began, tokens: int, price: Price | None = None) -> Ended:
    """The record of a call whose gateway died after `tokens` tokens of its stream, as far as is known.

    An engine counts a prompt when the first token of its answer is there; so does this.
    """
    prompt = began.prompt_estimate if tokens else 0
    return Ended(
        id=began.id,
        at=began.at,
        who=began.who,
        outcome=UNKNOWN,
        status=0,
        code=None,
        replica=began.replica,
        attempts=1,
        prompt_tokens=prompt,
        cached_tokens=0,
        completion_tokens=tokens,
        estimated=True,
        queue_ms=None,
        first_content_ms=None,
        total_ms=None,
        cost=None if price is None else price.of(prompt, 0, tokens),
    )
