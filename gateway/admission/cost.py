"""What a call costs an engine: guessed before, known after.

The unit is that of the virtual token counter (Sheng et al., "Fairness in Serving Large Language Models", OSDI 2024):
a token that is read and a token that is written have each a weight. A prompt token that the engine finds in its cache
costs nothing here, since it costs the engine next to nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from gateway.core.call import Envelope
from gateway.core.outcome import Usage

SMOOTHED_OVER = 32
"""Calls over which what is usual is smoothed."""
TOKENS_PER_BYTE = 0.25
"""Of a prompt, as long as no answer has told."""
USUAL_ANSWER_TOKENS = 128.0
MOST_PROMPT_TOKENS = 32_768.0
"""A longer prompt is not guessed: a body of that size is a picture more often than a text."""


@dataclass(frozen=True, slots=True)
class Costs:
    """The weights of a prompt token that is not in the engine's cache, and of a token that is generated."""

    prefill: float = 1.0
    decode: float = 2.0


class Work(NamedTuple):
    """What one call is thought to take of an engine."""

    tokens: float
    """Read and written ones, unweighted."""
    cost: float


class Estimator:
    """Guesses what calls for one model take, and learns from what they took."""

    __slots__ = ("_answer_tokens", "_costs", "_tokens_per_byte")

    def __init__(self, costs: Costs) -> None:
        self._costs = costs
        self._tokens_per_byte = TOKENS_PER_BYTE
        self._answer_tokens = USUAL_ANSWER_TOKENS

    def guess(self, envelope: Envelope) -> Work:
        """What the call of `envelope` will take."""
        read = len(envelope.body) * self._tokens_per_byte
        read = min(read, MOST_PROMPT_TOKENS)
        written = self.answer_tokens(envelope) * envelope.answers
        costs = self._costs
        return Work(read + written, costs.prefill * read + costs.decode * written)

    def answer_tokens(self, envelope: Envelope) -> float:
        """Tokens of one answer to the call of `envelope`."""
        usual, most = self._answer_tokens, envelope.most_tokens
        return usual if most is None or most > usual else most

    def learn(self, envelope: Envelope, usage: Usage) -> float:
        """What the call of `envelope` did cost."""
        read = max(0, usage.prompt_tokens - usage.cached_tokens)
        written = max(0, usage.completion_tokens)
        self._tokens_per_byte += (read / len(envelope.body) - self._tokens_per_byte) / SMOOTHED_OVER
        self._answer_tokens += (written / envelope.answers - self._answer_tokens) / SMOOTHED_OVER
        return self._costs.prefill * read + self._costs.decode * written
