"""What is read of an engine's answers: the members that the gateway looks at, and no others."""

from __future__ import annotations

import msgspec
from msgspec import Raw, Struct

from gateway.core.outcome import Usage

MOST_TOKENS = 2**40
"""An engine that counts more in one call is wrong; a sum of such numbers still fits what sums are kept in."""
ABSENT = Raw()
"""A member that is not there. (`Raw | None` would take nothing but null: `Raw` is no type of JSON value.)"""
NULL = Raw(b"null")


class _Details(Struct):
    cached_tokens: int | None = None


class UsageShape(Struct):
    """`usage` of an answer."""

    prompt_tokens: int = 0
    completion_tokens: int | None = 0
    prompt_tokens_details: _Details | None = None

    def value(self) -> Usage:
        """As the value the rest of the gateway speaks of."""
        details = self.prompt_tokens_details
        return Usage(
            prompt_tokens=_bounded(self.prompt_tokens),
            completion_tokens=_bounded(self.completion_tokens or 0),
            cached_tokens=_bounded(details.cached_tokens or 0) if details else 0,
        )


def _bounded(tokens: int) -> int:
    return min(max(tokens, 0), MOST_TOKENS)


class _Choice(Struct):
    index: int = 0
    finish_reason: str | None = None


class _Event(Struct):
    choices: list[_Choice] | None = None
    usage: UsageShape | None = None
    error: Raw = ABSENT


class _Delta(Struct):
    content: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    refusal: str | None = None
    tool_calls: list[Raw] | None = None


class _FirstChoice(Struct):
    delta: _Delta | None = None
    text: str | None = None
    finish_reason: str | None = None


class _FirstEvent(Struct):
    choices: list[_FirstChoice] | None = None


class _Body(Struct):
    choices: list[Raw]
    usage: UsageShape | None = None
    error: Raw = ABSENT


decode_event = msgspec.json.Decoder(_Event).decode
"""An event of a stream. Raises `msgspec.DecodeError`."""
decode_first = msgspec.json.Decoder(_FirstEvent).decode
"""An event that may be the first with content. Raises `msgspec.DecodeError`."""
decode_answer = msgspec.json.Decoder(_Body).decode
"""A whole answer. Raises `msgspec.DecodeError`."""
