"""Reading a request's body: from bytes to an `Ask`, or the refusal that vLLM gives instead.

Types are checked in `bodies`; here is what vLLM checks beyond them, in its order: shape of the body, model, prompt,
sampling parameters.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

from engines.simulated import bodies, refusals, wording
from engines.simulated.instances import GrammarError, minimal_text
from engines.simulated.options import Options

_MAX_LOGPROBS = 20
_MAX_CHARACTERS_PER_TOKEN = 13


class Tool(msgspec.Struct, frozen=True):
    """The call that an answer makes."""

    name: str
    arguments: str
    by_name: bool
    """The caller named the tool: the answer then ends with `stop`, not with `tool_calls`."""
    is_required: bool


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """What a request wants, checked."""

    is_chat: bool
    prompts: tuple[str, ...]
    topic: str
    """What the answer speaks of: the last message, or the prompt."""
    prompt_tokens: tuple[int, ...]
    n: int
    stream: bool
    include_usage: bool
    continuous_usage: bool
    max_tokens: int | None
    """As asked for; `None`: the model's room."""
    ignore_eos: bool
    min_tokens: int
    stop: tuple[str, ...]
    keep_stop: bool
    seed: int
    logprobs: int | None
    """How many alternatives to each token; `None`: no log probabilities."""
    token_ids: bool
    echo: bool
    interval: int
    fixed_text: str | None
    """Text that the answer must be: JSON for a schema."""
    tool: Tool | None
    sim: Any
    """The body's own script, unread."""


def decode(body: bytes) -> Any:
    """Give the JSON of a body.

    Raises `Refused` for what is not JSON and `Unreadable` for what is not UTF-8.
    """
    if not body:
        raise refusals.not_valid(
            [{"type": "missing", "loc": "body", "msg": "Field required", "input": "None"}]
        )
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _decode_slowly(body)


def _decode_slowly(body: bytes) -> Any:
    """Do as FastAPI does with what a stricter parser does not take: the error's text and place are its own."""
    try:
        return json.loads(body)
    except UnicodeDecodeError as error:
        raise refusals.Unreadable from error
    except json.JSONDecodeError as error:
        told = {
            "type": "json_invalid",
            "loc": f"body.{error.pos}",
            "msg": "JSON decode error",
            "input": "<dict of 0 items>",
            "ctx": {"error": error.msg},
        }
        raise refusals.not_valid([told]) from error


def read_chat(raw: Any, options: Options) -> Ask:
    """Give what a chat completion asks for. Raises `Refused`."""
    _check_before_types(raw)
    if isinstance(raw, dict):
        _check_tools(raw)
    body = bodies.typed(bodies.ChatBody, raw)
    _check_model(body, options)
    if not body.messages:
        message = "Cannot apply chat template to an empty conversation. Provide at least one message."
        raise refusals.Refused(400, message)
    _check_media(body.messages, options)
    prompt = wording.rendered(body.messages)
    tokens = wording.count_tokens(prompt)
    limit = body.max_completion_tokens if body.max_completion_tokens is not None else body.max_tokens
    _check_room(prompt, tokens, limit, options)
    alternatives = (body.top_logprobs or 0) if body.logprobs else None
    _check_sampling(body, limit, alternatives)
    topic = wording.text_of(body.messages[-1].get("content"))
    return _ask(
        body,
        is_chat=True,
        prompts=(prompt,),
        topic=topic,
        prompt_tokens=(tokens,),
        max_tokens=limit,
        logprobs=alternatives,
        echo=False,
        tool=_tool(body, topic, options),
    )


def read_completion(raw: Any, options: Options) -> Ask:
    """Give what a completion asks for. Raises `Refused`."""
    _check_before_types(raw)
    if isinstance(raw, dict) and not raw.get("prompt") and not raw.get("prompt_embeds"):
        raise invalid_prompt()
    body = bodies.typed(bodies.CompletionBody, raw)
    _check_model(body, options)
    prompts, counts = _prompts(body.prompt)
    for prompt, count in zip(prompts, counts, strict=True):
        _check_room(prompt, count, body.max_tokens, options)
    _check_sampling(body, body.max_tokens, body.logprobs)
    return _ask(
        body,
        is_chat=False,
        prompts=prompts,
        topic=prompts[0],
        prompt_tokens=counts,
        max_tokens=16 if body.max_tokens is None else body.max_tokens,
        logprobs=body.logprobs,
        echo=bool(body.echo),
        tool=None,
    )


def invalid_prompt() -> refusals.Refused:
    """Give the refusal of a completion without a prompt."""
    return refusals.invalid("prompt", "Either prompt or prompt_embeds must be provided and non-empty.")


def _ask(body: bodies.Body, **known: Any) -> Ask:
    stream_options = body.stream_options
    stop = body.stop
    return Ask(
        n=1 if body.n is None else body.n,
        stream=bool(body.stream),
        include_usage=bool(stream_options and stream_options.include_usage),
        continuous_usage=bool(
            stream_options and stream_options.include_usage and stream_options.continuous_usage_stats
        ),
        ignore_eos=body.ignore_eos,
        min_tokens=body.min_tokens,
        stop=() if not stop else (stop,) if isinstance(stop, str) else tuple(stop),
        keep_stop=body.include_stop_str_in_output,
        seed=body.seed or 0,
        token_ids=bool(body.return_token_ids),
        interval=body.stream_interval or 1,
        fixed_text=_fixed_text(body.response_format),
        sim=(body.vllm_xargs or {}).get("sim"),
        **known,
    )


def wrong_content_type() -> refusals.Refused:
    """Give the refusal of a body that does not say that it is JSON."""
    message = "1 validation error:\n  Unsupported Media Type: Only 'application/json' is allowed"
    return refusals.Refused(400, message, "Bad Request")


def _check_before_types(raw: Any) -> None:
    if not isinstance(raw, dict):
        return
    if raw.get("stream_options") and not raw.get("stream"):
        raise refusals.invalid("stream_options", "Stream options can only be defined when `stream=True`.")
    if raw.get("top_logprobs") and not raw.get("logprobs"):
        raise refusals.invalid("top_logprobs", "when using `top_logprobs`, `logprobs` must be set to true.")


def _check_tools(raw: dict[str, Any]) -> None:
    if raw.get("tools") == []:
        message = (
            "`tools` must not be an empty array. Either provide at least one tool or omit the field entirely."
        )
        raise refusals.invalid("tools", message)
    choice = raw.get("tool_choice")
    if choice is None or choice == "none":
        return
    if raw.get("tools") is None:
        raise refusals.invalid("tool_choice", "When using `tool_choice`, `tools` must be set.")
    if isinstance(choice, dict) and _named(choice) not in [_tool_name(tool) for tool in raw["tools"]]:
        message = "The tool specified in `tool_choice` does not match any of the specified `tools`"
        raise refusals.invalid("tool_choice", message)


def _named(choice: dict[str, Any]) -> Any:
    function = choice.get("function")
    return function.get("name") if isinstance(function, dict) else None


def _tool_name(tool: Any) -> Any:
    return _named(tool) if isinstance(tool, dict) else None


def _check_model(body: bodies.Body, options: Options) -> None:
    if body.model and body.model not in options.names:
        raise refusals.unknown_model(body.model, options.names)


def _check_media(messages: list[dict[str, Any]], options: Options) -> None:
    for message in messages:
        content = message.get("content")
        if isinstance(content, list) and any(
            isinstance(p, dict) and p.get("type") != "text" for p in content
        ):
            raise refusals.Refused(400, f"{options.names[0]} is not a multimodal model")


def _check_room(prompt: str, tokens: int, limit: int | None, options: Options) -> None:
    room = options.max_model_len
    most = room * _MAX_CHARACTERS_PER_TOKEN
    start = f"This model's maximum context length is {room} tokens. However, your prompt contains "
    if limit is not None and limit > room:
        message = f"max_tokens={limit} cannot be greater than max_model_len={room}. Please request fewer output tokens."
        raise refusals.invalid("max_tokens", message, limit)
    if len(prompt) > most:
        message = (
            f"{start}{len(prompt)} characters (more than {most} characters, which is the upper bound for {room} "
            "input tokens). Please reduce the length of the input prompt."
        )
        raise refusals.invalid("input_text", message, len(prompt))
    if tokens > room:
        message = (
            f"{start}at least {room + 1} input tokens, which exceeds this limit even without any output tokens. "
            "Please reduce the length of the input prompt."
        )
        raise refusals.invalid("input_tokens", message, room + 1)
    if tokens + (limit or 0) > room:
        most_tokens = room - (limit or 0)
        message = (
            f"This model's maximum context length is {room} tokens. However, you requested {limit} output tokens "
            f"and your prompt contains at least {most_tokens + 1} input tokens, for a total of at least {room + 1} "
            "tokens. Please reduce the length of the input prompt or the number of requested output tokens."
        )
        raise refusals.invalid("input_tokens", message, most_tokens + 1)


def _check_sampling(body: bodies.Body, limit: int | None, logprobs: int | None) -> None:
    n = 1 if body.n is None else body.n
    if n < 1:
        raise refusals.Refused(400, f"n must be at least 1, got {n}.")
    if body.temperature is not None and body.temperature < 0:
        value = body.temperature
        raise refusals.invalid("temperature", f"temperature must be non-negative, got {value}.", value)
    if body.top_p is not None and not 0 < body.top_p <= 1:
        raise refusals.invalid("top_p", f"top_p must be in (0, 1], got {body.top_p}.", body.top_p)
    if limit is not None and limit < 1:
        raise refusals.invalid("max_tokens", f"max_tokens must be at least 1, got {limit}.", limit)
    if n > 1 and body.temperature == 0:
        raise refusals.Refused(400, f"n must be 1 when using greedy sampling, got {n}.")
    if logprobs is not None and logprobs > _MAX_LOGPROBS:
        message = (
            f"Requested sample logprobs of {logprobs}, which is greater than max allowed: {_MAX_LOGPROBS}"
        )
        raise refusals.invalid("logprobs", message, logprobs)


def _prompts(prompt: Any) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Give the prompts of a completion as texts, with how many tokens each is. Token ids stand for themselves."""
    if isinstance(prompt, str):
        return (prompt,), (wording.count_tokens(prompt),)
    if isinstance(prompt[0], int):
        prompt = [prompt]
    if isinstance(prompt[0], str):
        return tuple(prompt), tuple(wording.count_tokens(p) for p in prompt)
    return tuple(" ".join(map(str, ids)) for ids in prompt), tuple(max(1, len(ids)) for ids in prompt)


def _fixed_text(wanted: dict[str, Any] | None) -> str | None:
    if wanted is None or wanted.get("type") == "text":
        return None
    if wanted.get("type") == "json_object":
        return "{}"
    try:
        return minimal_text((wanted.get("json_schema") or {}).get("schema") or {})
    except GrammarError as error:
        raise refusals.Refused(400, f"Grammar error: {error}") from error


def _tool(body: bodies.ChatBody, topic: str, options: Options) -> Tool | None:
    choice = body.tool_choice
    if not body.tools or choice == "none":
        return None
    if choice is None or choice == "auto":
        if not options.auto_tool_choice:
            message = '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'
            raise refusals.Refused(400, message)
        if body.messages[-1].get("role") == "tool":
            return None
    by_name = isinstance(choice, dict)
    tool = next(t for t in body.tools if not by_name or _tool_name(t) == _named(choice))  # type: ignore[arg-type]
    parameters = tool.get("function", {}).get("parameters") or {"type": "object"}
    words = topic.split()
    arguments = minimal_text(parameters, text=words[-1].strip("?!.,") if words else "")
    return Tool(str(_tool_name(tool)), arguments, by_name=by_name, is_required=choice == "required")
