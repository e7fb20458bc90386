"""A whole, non-streamed answer: whether it is one, and what it cost."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from gateway.core.outcome import Usage
from gateway.openai.shapes import ABSENT, NULL, decode_answer


@dataclass(frozen=True, slots=True)
class Answer:
    """What the gateway reads from a whole answer."""

    usage: Usage | None


def read(body: bytes) -> Answer | None:
    """Understand a whole answer; `None` when the bytes are no answer, whatever the status said."""
    try:
        parsed = decode_answer(body)
        body.isascii() or body.decode()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if parsed.error is not ABSENT and parsed.error != NULL:
        return None
    return Answer(None if parsed.usage is None else parsed.usage.value())
