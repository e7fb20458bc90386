"""How much of everything one request may ask for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.openai.complaints import invalid, too_many
from gateway.openai.rules import Caps

USUAL_COMPLETION_TOKENS = 16
"""Length of a completion that asks for none (OpenAI's reference, and vLLM)."""

Members = Mapping[str, Any]

_COUNTED: Mapping[str, tuple[str, str]] = {
    "n": ("n", "answers"),
    "best_of": ("best_of", "answers"),
    "logprobs": ("top_logprobs", "alternatives"),
    "top_logprobs": ("top_logprobs", "alternatives"),
    "prompt_logprobs": ("top_logprobs", "alternatives"),
    "stop_token_ids": ("token_ids", "ids"),
    "allowed_token_ids": ("token_ids", "ids"),
    "logprob_token_ids": ("token_ids", "ids"),
    "logit_bias": ("logit_bias", "entries"),
    "bad_words": ("bad_words", "words"),
    "messages": ("messages", "messages"),
    "tools": ("tools", "tools"),
    "functions": ("tools", "functions"),
}
"""Field → its cap, and what is counted: a number is itself, anything else its length."""


def check_caps(members: Members, caps: Caps) -> None:
    """Judge every count in `members`, whose types are right. Raises `InvalidRequest` with the field and its cap."""
    for name in members.keys() & _COUNTED.keys():
        cap, of = _COUNTED[name]
        most, found = getattr(caps, cap), _count(members[name])
        if most is not None and found > most:
            raise too_many(name, found, most, of)
    _check_stop(members.get("stop"), caps)
    _check_bias(members.get("logit_bias"))
    least, limit = members.get("min_tokens"), _limit(members)
    if least is not None and limit is not None and least > limit:
        raise invalid("min_tokens", f"{least} is more than the {limit} tokens that the answer may have")
    if caps.max_tokens is not None and limit is not None:
        answers = _answers(members)
        if answers * limit > caps.max_tokens:
            name = (
                "max_completion_tokens" if members.get("max_completion_tokens") is not None else "max_tokens"
            )
            of = "tokens" if answers == 1 else f"tokens ({answers} answers of {limit})"
            raise too_many(name, answers * limit, caps.max_tokens, of)


def tokens_to_add(members: Members, caps: Caps, *, is_chat: bool) -> int | None:
    """The `max_tokens` to send for a request that names none, so that a cap holds for it too."""
    if caps.max_tokens is None or _limit(members) is not None:
        return None
    room = max(1, caps.max_tokens // _answers(members))
    return room if is_chat else min(room, USUAL_COMPLETION_TOKENS)


def _count(value: Any) -> int:
    return value if value.__class__ is int else int(value) if value.__class__ is bool else len(value or ())


def _check_stop(stop: str | list[str] | None, caps: Caps) -> None:
    stops = [stop] if isinstance(stop, str) else stop or []
    if caps.stop is not None and len(stops) > caps.stop:
        raise too_many("stop", len(stops), caps.stop, "strings")
    longest = max(map(len, stops), default=0)
    if caps.stop_characters is not None and longest > caps.stop_characters:
        raise too_many("stop", longest, caps.stop_characters, "characters in one string")


def _check_bias(bias: Mapping[str, float] | None) -> None:
    for token in bias or ():
        if not (token.isascii() and token.isdecimal() and len(token) <= len(str(2**31))):
            raise invalid("logit_bias", "its keys must be token ids, as text")


def _limit(members: Members) -> int | None:
    """How many tokens one answer may have, as asked for."""
    limit: int | None = members.get("max_completion_tokens")
    return members.get("max_tokens") if limit is None else limit


def _answers(members: Members) -> int:
    return max(members.get("n") or 1, members.get("best_of") or 1)
