"""What an operator decides about request bodies, as plain values. No decision is made here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple


class Treatment(StrEnum):
    """What happens to a field that a caller may not simply send."""

    REFUSE = "refuse"  # the request is answered 400
    STRIP = "strip"  # the field is left out of what the engine gets, and the caller is told
    PASS = "pass"  # noqa: S105 - the word of the configuration, no password


class Caps(NamedTuple):
    """The most that one request may ask for. `None`: no cap."""

    n: int | None = None
    best_of: int | None = None
    max_tokens: int | None = None
    top_logprobs: int | None = None
    stop: int | None = None
    stop_characters: int | None = None
    logit_bias: int | None = None
    token_ids: int | None = None
    bad_words: int | None = None
    prompts: int | None = None
    messages: int | None = None
    tools: int | None = None

    def strictest(self, other: Caps | None) -> Caps:
        """The lower of each two."""
        if other is None:
            return self
        return Caps(*[_lower(ours, theirs) for ours, theirs in zip(self, other, strict=True)])

    def cover(self, other: Caps) -> bool:
        """Whether nothing within `other` is above these."""
        return all(
            ours is None or (theirs is not None and theirs <= ours)
            for ours, theirs in zip(self, other, strict=True)
        )


def _lower(one: int | None, other: int | None) -> int | None:
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)


DEFAULT_CAPS = Caps(
    n=8,  # vLLM's own bound is 16,384 answers: one request would fill a whole engine
    best_of=8,  # counts like n, and the engine keeps most of the answers to itself
    top_logprobs=20,  # OpenAI's bound, and the default of vLLM's --max-logprobs
    stop=4,  # OpenAI's bound, and vLLM's default
    stop_characters=256,  # the engine looks for each of them behind every token
    logit_bias=300,  # OpenAI's bound
    token_ids=1024,  # a list of ids becomes a mask over the vocabulary, for every token
    bad_words=128,  # vLLM's bound
    prompts=1024,  # vLLM's bound; each is a request of its own to the engine's scheduler
    messages=4096,  # a chat of more turns than any context holds
    tools=512,  # several times what a model can tell apart
)


@dataclass(frozen=True, slots=True)
class Rules:
    """All of it. Names in `allowed` pass whatever else is said of them."""

    privileged: Treatment = Treatment.REFUSE
    unknown: Treatment = Treatment.STRIP
    allowed: frozenset[str] = frozenset()
    media_hosts: frozenset[str] = frozenset()
    """Hosts from which an engine may fetch media; none: media come in the request itself."""
    allows_grammars: bool = False
    caps: Caps = DEFAULT_CAPS
    model_caps: Mapping[str, Caps] = field(default_factory=dict)
    """By public model name."""
    key_caps: Mapping[str, Caps] = field(default_factory=dict)
    """By id of the API key."""

    def caps_for(self, model: str, key_id: str) -> Caps:
        """The strictest of the caps that apply."""
        if not self.model_caps and not self.key_caps:
            return self.caps
        return self.caps.strictest(self.model_caps.get(model)).strictest(self.key_caps.get(key_id))
