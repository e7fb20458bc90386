"""A whole, non-streamed answer: whether it is one, and what it cost."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
from msgspec import Raw, Struct

from gateway.core.outcome import Usage
from gateway.openai.sse import ABSENT, NULL, UsageShape


class _Body(Struct):
    choices: list[Raw]
    usage: UsageShape | None = None
    error: Raw = ABSENT


@dataclass(frozen=True, slots=True)
class Answer:
    """What the gateway reads from a whole answer."""

    usage: Usage | None


_decode = msgspec.json.Decoder(_Body).decode


def read(body: bytes) -> Answer | None:
    """Understand a whole answer; `None` when the bytes are no answer, whatever the status said."""
    try:
        parsed = _decode(body)
        body.isascii() or body.decode()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if parsed.error is not ABSENT and parsed.error != NULL:
        return None
    return Answer(None if parsed.usage is None else parsed.usage.value())
