"""What a call will cost an engine, by estimate: tokens of its prompt to compute, tokens of its answer to make.

A prompt is known by its bytes alone, and an answer by what the caller allows; both are corrected by what the engines
count. Whole numbers, so that what is charged to a replica and given back again adds up to nothing.
"""

from __future__ import annotations

from typing import NamedTuple

from gateway.core.call import Call
from gateway.core.outcome import Usage

DECODE_WEIGHT = 4
"""What a token of an answer costs, against one of a prompt: prompts are computed many tokens at a time. The ratio is
about that of the prices which are asked for the two."""
USUAL_BYTES = 4.0
"""Bytes of a request's body for each token of its prompt, until one was counted."""
USUAL_ANSWER = 128.0
"""Tokens of an answer, until one was counted."""
_FEWEST_BYTES, _MOST_BYTES = 0.5, 64.0
_WEIGHT = 1 / 32
"""Of the newest call."""


class Work(NamedTuple):
    """One call on one replica, in tokens."""

    prefill: int
    """Of its prompt, without what the replica has in its cache."""
    decode: int
    cached: int = 0
    """Of its prompt, expected in the replica's cache."""
    size: int = 0
    """Bytes of its body."""
    told: int | None = None
    """Of its prompt, in the replica's cache by the engine's own word; `None` where that is not known."""


NOTHING = Work(0, 0)


class Estimates:
    """Of one model's calls."""

    __slots__ = ("answer", "bytes_per_token")

    def __init__(self) -> None:
        self.bytes_per_token = USUAL_BYTES
        self.answer = USUAL_ANSWER
        """Tokens of one answer."""

    def prompt(self, call: Call) -> int:
        """Tokens of its prompt."""
        return int(len(call.envelope.body) / self.bytes_per_token) + 1

    def decode(self, call: Call) -> int:
        """Tokens of its answers."""
        envelope = call.envelope
        most = envelope.most_tokens
        each = self.answer if most is None or most > self.answer else most
        return int(each * envelope.answers) + 1

    def learn(self, work: Work, usage: Usage) -> None:
        """What a call did cost."""
        if usage.prompt_tokens > 0 and work.size:
            ratio = min(_MOST_BYTES, max(_FEWEST_BYTES, work.size / usage.prompt_tokens))
            self.bytes_per_token += (ratio - self.bytes_per_token) * _WEIGHT
        if usage.completion_tokens > 0:
            self.answer += (usage.completion_tokens - self.answer) * _WEIGHT
