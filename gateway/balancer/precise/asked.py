"""What of a request's body becomes its prompt, read as vLLM reads it.

Where a request holds something that we would render otherwise than the engine - pictures, a template of its own - it is
not read at all: no knowledge is better than a wrong one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec

_CHANGING = (
    "add_special_tokens",
    "chat_template",
    "continue_final_message",
    "documents",
    "echo",
    "functions",
    "mm_processor_kwargs",
    "prompt_embeds",
    "prompt_logprobs",
    "suffix",
    "truncate_prompt_tokens",
)
"""Members that change a prompt, or what is looked up of it, in ways that we do not follow."""


class Asked(msgspec.Struct, frozen=True):
    """The members that matter. Everything else of a body is passed over."""

    messages: list[dict[str, Any]] | None = None
    prompt: str | list[int] | None = None
    tools: list[dict[str, Any]] | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    add_generation_prompt: bool = True
    reasoning_effort: str | None = None
    cache_salt: str | None = None
    add_special_tokens: Any = None
    chat_template: Any = None
    continue_final_message: Any = None
    documents: Any = None
    echo: Any = None
    functions: Any = None
    mm_processor_kwargs: Any = None
    prompt_embeds: Any = None
    prompt_logprobs: Any = None
    suffix: Any = None
    truncate_prompt_tokens: Any = None


_DECODER = msgspec.json.Decoder(Asked)


def read(body: bytes) -> Asked | None:
    """What is asked; `None` where we could not tell its prompt."""
    try:
        asked = _DECODER.decode(body)
    except msgspec.DecodeError:
        return None
    for name in _CHANGING:
        given = getattr(asked, name)
        if given is not None and given is not False:
            return None
    return asked


def values_of(asked: Asked, *, knows_developers: bool) -> Mapping[str, Any] | None:
    """What a chat template is given for it; `None` where we could not tell."""
    messages = []
    for message in asked.messages or ():
        one = _message(message)
        if one is None or (one["role"] == "developer" and not knows_developers):
            return None
        messages.append(one)
    values: dict[str, Any] = {
        **(asked.chat_template_kwargs or {}),
        "messages": messages,
        "tools": None if asked.tools is None else [_tool(tool) for tool in asked.tools],
        "documents": None,
        "add_generation_prompt": asked.add_generation_prompt,
    }
    if asked.reasoning_effort is not None:
        values["reasoning_effort"] = asked.reasoning_effort
        values.setdefault("enable_thinking", asked.reasoning_effort != "none")
    return values


def _message(message: Mapping[str, Any]) -> dict[str, Any] | None:
    role, content = message.get("role"), message.get("content")
    if isinstance(content, list):
        if not all(isinstance(part, dict) and part.get("type") == "text" for part in content):
            return None
        content = "\n".join([str(part.get("text", "")) for part in content])
    made: dict[str, Any] = {"role": role, "content": "" if content is None else content}
    if role == "assistant":
        calls = message.get("tool_calls")
        if calls:
            made["tool_calls"] = [_call(call) for call in calls]
        if message.get("reasoning") is not None:
            made["reasoning"] = made["reasoning_content"] = message["reasoning"]
    elif role == "tool" and "tool_call_id" in message:
        made["tool_call_id"] = message["tool_call_id"]
    if isinstance(message.get("name"), str):
        made["name"] = message["name"]
    return made


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    """A tool's call, its arguments as a value: that is what templates expect."""
    function = dict(call.get("function") or {})
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        try:
            function["arguments"] = json.loads(arguments) if arguments else {}
        except ValueError:
            function["arguments"] = {}
    elif arguments is None:
        function["arguments"] = {}
    return {**call, "function": function}


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    """A tool with the members and the order that the engine's own model of it has."""
    function = tool.get("function") or {}
    known = {name: function.get(name) for name in ("name", "description", "parameters")}
    if function.get("strict") is not None:
        known["strict"] = function["strict"]
    return {"type": tool.get("type", "function"), "function": known}
