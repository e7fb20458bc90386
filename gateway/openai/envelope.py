"""Request bodies: checked in one typed pass, rebuilt from what was parsed.

Two passes over the bytes, both in C: one into a typed shape that checks the fields we know and skips the rest, one
that splits the object into its top-level members without building their values. The upstream body is put together
from those members, so an engine never sees a byte that was not read here, and a 16 KiB prompt is not decoded to be
encoded again. Fields we do not know go through: they are the engine's to judge.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import Meta, Raw, Struct

from gateway.core.call import Envelope, Operation
from gateway.core.errors import InvalidJson, InvalidRequest
from gateway.openai.operations import CHAT, COMPLETIONS

_Count = Annotated[int, Meta(ge=1)]
_Words = str | list[str] | None


class StreamOptions(Struct, frozen=True):
    """`stream_options`, as far as we act on it."""

    include_usage: bool | None = None


class Message(Struct, frozen=True):
    """One chat message, as far as every engine agrees on it."""

    role: str


class Fields(Struct, frozen=True, kw_only=True):
    """What chat and completions have in common."""

    model: Annotated[str, Meta(min_length=1, max_length=256)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: _Count | None = None
    max_tokens: Annotated[int, Meta(ge=0)] | None = None
    temperature: float | None = None
    top_p: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    seed: int | None = None
    stop: _Words = None
    user: str | None = None
    logit_bias: dict[str, float] | None = None


class ChatFields(Fields, frozen=True, kw_only=True):
    """`POST /v1/chat/completions`."""

    messages: Annotated[list[Message], Meta(min_length=1)]
    max_completion_tokens: _Count | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0)] | None = None
    tools: list[dict[str, Raw]] | None = None
    tool_choice: str | dict[str, Raw] | None = None
    parallel_tool_calls: bool | None = None
    response_format: dict[str, Raw] | None = None


class CompletionFields(Fields, frozen=True, kw_only=True):
    """`POST /v1/completions`."""

    prompt: str | list[Raw]
    echo: bool | None = None
    suffix: str | None = None
    logprobs: Annotated[int, Meta(ge=0)] | None = None
    best_of: _Count | None = None


_SHAPES: Mapping[str, msgspec.json.Decoder[ChatFields] | msgspec.json.Decoder[CompletionFields]] = {
    CHAT.name: msgspec.json.Decoder(ChatFields),
    COMPLETIONS.name: msgspec.json.Decoder(CompletionFields),
}
_MEMBERS = msgspec.json.Decoder(dict[str, Raw])
_ENCODE = msgspec.json.Encoder().encode
_WITH_USAGE = Raw(b'{"include_usage":true}')
_LOCATION = re.compile(r" - at `\$\.?(?P<path>[^`]*)`$")
_MISSING = re.compile(r"Object missing required field `(?P<field>[^`]+)`")


def read(operation: Operation, body: bytes) -> Envelope:
    """Check `body` and return what the gateway needs of it.

    Raises `InvalidJson` when it is not one JSON object in UTF-8, `InvalidRequest` with `param` naming the field when
    a field has the wrong type, is out of range or is missing.
    """
    try:
        body.isascii() or body.decode()
        fields = _SHAPES[operation.name].decode(body)
        members = _MEMBERS.decode(body)
    except msgspec.ValidationError as error:
        raise _invalid(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidJson(_not_json(body, error)) from None
    except RecursionError:
        raise InvalidJson("The request body is nested too deeply.") from None
    stream = fields.stream is True
    asked = fields.stream_options is not None and fields.stream_options.include_usage is True
    strip = stream and not asked
    if strip:
        members["stream_options"] = _ask_for_usage(members.get("stream_options"))
    return Envelope(model=fields.model, stream=stream, strip_usage=strip, members=members)


def upstream_body(envelope: Envelope, model: str) -> bytes:
    """The body to send to an engine that knows the model as `model`."""
    if model == envelope.model:
        return _ENCODE(envelope.members)
    return _ENCODE({**envelope.members, "model": model})


def _ask_for_usage(options: Raw | None) -> Raw:
    """Add `include_usage` to the client's own stream options, whatever else they hold."""
    if options is None or bytes(options) == b"null":
        return _WITH_USAGE
    return Raw(_ENCODE({**_MEMBERS.decode(options), "include_usage": True}))


def _not_json(body: bytes, error: Exception) -> str:
    if not body.strip():
        return "The request body is empty: expected a JSON object."
    if isinstance(error, UnicodeDecodeError):
        return f"The request body is not UTF-8 (byte {error.start})."
    if body.startswith(b"\xef\xbb\xbf"):
        return "The request body begins with a byte order mark: send UTF-8 without one."
    return f"The request body is not valid JSON: {error}."


def _invalid(text: str) -> InvalidRequest:
    """Turn msgspec's words ("Expected `float`, got `str` - at `$.temperature`") into ours, naming the field."""
    found = _LOCATION.search(text)
    path = found["path"] if found else ""
    what = text[: found.start()] if found else text
    missing = _MISSING.match(what)
    if missing:
        param = f"{path}.{missing['field']}".lstrip(".")
        return InvalidRequest(f"Missing required field: {param}.", param=param)
    what = what.replace("`", "'").replace("Expected", "expected", 1)
    if not path:
        return InvalidRequest(f"Invalid request body: {what}.")
    return InvalidRequest(f"Invalid value for {path}: {what}.", param=path)
