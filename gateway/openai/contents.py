"""What a request gives to the model: messages and prompts, beyond the types of their fields."""

from __future__ import annotations

from typing import Any

from gateway.openai.complaints import invalid, too_many
from gateway.openai.media import check_part


def check_messages(messages: list[dict[str, Any]], hosts: frozenset[str]) -> None:
    """Judge every part of every message's content. Raises `InvalidRequest` and `FieldNotAllowed`."""
    for index, message in enumerate(messages):
        content = message.get("content")
        if content.__class__ is list:
            for at, part in enumerate(content):
                if part.__class__ is dict:
                    check_part(part, f"messages[{index}].content[{at}]", hosts)


def check_prompt(prompt: str | list[Any], most: int | None) -> None:
    """Judge a completion's prompt: a text, token ids, or a list of at most `most` of either."""
    if prompt.__class__ is str:
        return
    kinds = set(map(type, prompt))
    if kinds == {int}:
        _check_ids(prompt, "prompt")
        return
    if most is not None and len(prompt) > most:
        raise too_many("prompt", len(prompt), most, "prompts")
    if kinds == {list}:
        for index, ids in enumerate(prompt):
            if set(map(type, ids)) != {int}:
                raise invalid(f"prompt[{index}]", "expected token ids")
            _check_ids(ids, f"prompt[{index}]")
    elif kinds and kinds != {str}:
        raise invalid("prompt", "expected a text, a list of texts, token ids, or a list of lists of them")


def prompts_in(prompt: str | list[Any]) -> int:
    """How many prompts there are in a completion's `prompt` that was judged."""
    return 1 if prompt.__class__ is str or not prompt or prompt[0].__class__ is int else len(prompt)


def _check_ids(ids: Any, place: str) -> None:
    if min(ids) < 0 or max(ids) >= _TOO_LARGE_ID:
        raise invalid(place, "a token id is out of range")


_TOO_LARGE_ID = 2**31
"""Engines keep token ids in 32 bits."""
