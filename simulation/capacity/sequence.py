"""One answer on its way through an engine, and who gets what comes of it."""

from __future__ import annotations

from typing import Protocol

from simulation.capacity.prompts import Prompt


class Receiver(Protocol):
    """Who gets what a sequence makes."""

    def on_first(self, sequence: Sequence) -> None:
        """The first token is there."""
        ...

    def on_progress(self, sequence: Sequence, made: int) -> None:
        """So many tokens are there."""
        ...

    def on_done(self, sequence: Sequence) -> None:
        """All tokens are there."""
        ...


class Sequence:
    """One answer on its way."""

    __slots__ = (
        "blocks", "cached", "completes", "computed", "context", "is_decoding", "is_over", "keys", "loose", "made",
        "paused_at", "prompt", "prompt_keys", "receiver", "since", "target", "tokens", "worked",
    )  # fmt: skip

    def __init__(self, prompt: Prompt, tokens: int, receiver: Receiver) -> None:
        self.prompt = prompt
        self.tokens = tokens
        """Of the answer."""
        self.receiver = receiver
        self.made = 0
        """Tokens of the answer, as of step `since`."""
        self.since = 0
        self.target = prompt.tokens
        """What has to be computed before the next token: the prompt, and what was made before a preemption."""
        self.computed = 0
        self.context = 0
        """Tokens in the KV cache as of step `since`."""
        self.keys: list[int] = []
        """Of the full blocks that it holds and that are known."""
        self.loose = 0
        """Blocks that it holds besides."""
        self.blocks = 0
        """All of them."""
        self.prompt_keys: list[int] = []
        self.cached: int | None = None
        """Tokens of its prompt that were in the cache when it began."""
        self.worked = 0
        """Tokens computed for it, those that were computed again included."""
        self.completes = 0
        """The step that makes its last token."""
        self.paused_at: float | None = None
        self.is_decoding = False
        self.is_over = False

    def made_by(self, step: int) -> int:
        """Tokens of the answer after `step`."""
        return self.made + (step - self.since if self.is_decoding else 0)
