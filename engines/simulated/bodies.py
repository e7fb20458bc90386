"""The fields of a request body and their types. Unknown fields are taken and ignored, as vLLM does.

A body of right types costs two microseconds. One of wrong types is checked again by pydantic, which vLLM uses, so
that the error is told in its words; pydantic is imported only then, since its import doubles the time of a start.
"""

from __future__ import annotations

import functools
import operator
import typing
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from engines.simulated import refusals

Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_MAX_INPUT_CHARACTERS = 200
_INTERNAL_PLACES = frozenset({"str", "int", "float", "bool", "list", "dict"})


class StreamOptions(msgspec.Struct, frozen=True):
    """What a stream carries besides its text."""

    include_usage: bool | None = False
    continuous_usage_stats: bool | None = False


class Body(msgspec.Struct, frozen=True, kw_only=True):
    """Fields that both routes know."""

    model: str | None = None
    max_tokens: int | None = None
    n: int | None = 1
    seed: Int64 | None = None
    stop: str | list[str] | None = None
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    temperature: float | None = None
    top_p: float | None = None
    ignore_eos: bool = False
    min_tokens: int = 0
    include_stop_str_in_output: bool = False
    return_token_ids: bool | None = None
    stream_interval: Annotated[int, msgspec.Meta(ge=1)] | None = None
    response_format: dict[str, Any] | None = None
    priority: Int64 = 0
    vllm_xargs: dict[str, Any] | None = None


class ChatBody(Body, frozen=True, kw_only=True):
    """A chat completion's."""

    messages: list[dict[str, Any]]
    max_completion_tokens: int | None = None
    logprobs: bool | None = False
    top_logprobs: int | None = 0
    tools: list[dict[str, Any]] | None = None
    tool_choice: Literal["none", "auto", "required"] | dict[str, Any] | None = None


class CompletionBody(Body, frozen=True, kw_only=True):
    """A completion's."""

    prompt: str | list[Any] | None = None
    echo: bool | None = False
    logprobs: int | None = None


B = TypeVar("B", bound=Body)


def typed(kind: type[B], raw: Any) -> B:
    """Give a body of right types. Raises `Refused`."""
    try:
        return msgspec.convert(raw, kind, strict=False)
    except msgspec.ValidationError:
        return msgspec.convert(_checked_by_pydantic(kind, raw), kind, strict=False)


def _checked_by_pydantic(kind: type[msgspec.Struct], raw: Any) -> dict[str, Any]:
    """Give the fields as pydantic reads them; it takes a few spellings more. Raises `Refused`."""
    import pydantic  # noqa: PLC0415 see the top of this file

    try:
        read: dict[str, Any] = _model(kind).model_validate(raw).model_dump(exclude_unset=True)
    except pydantic.ValidationError as error:
        raise refusals.not_valid([_told(e) for e in error.errors(include_url=False)]) from error
    return read


def _model(kind: type[msgspec.Struct]) -> Any:
    """Give the pydantic model with the fields of `kind`."""
    import pydantic  # noqa: PLC0415 see the top of this file

    hints = typing.get_type_hints(kind, include_extras=True)
    fields: dict[str, Any] = {
        field.name: (_hint(hints[field.name]), ... if field.required else field.default)
        for field in msgspec.structs.fields(kind)
    }
    return pydantic.create_model(kind.__name__, __config__=pydantic.ConfigDict(extra="allow"), **fields)


def _hint(hint: Any) -> Any:
    """Give a type as pydantic writes it: nested models, bounds."""
    import pydantic  # noqa: PLC0415 see the top of this file

    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return _model(hint)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        bounds = arguments[1]
        return Annotated[arguments[0], pydantic.Field(ge=bounds.ge, le=bounds.le)]
    if origin in {typing.Union, UnionType}:
        return functools.reduce(operator.or_, map(_hint, arguments))
    return hint


def _told(error: Any) -> dict[str, Any]:
    """Give a pydantic error as vLLM tells it: the place as words, a large input as its size."""
    told = {**error, "loc": ".".join(["body", *_places(error["loc"])]), "input": _shown(error["input"])}
    if error["type"] == "model_type":
        # vLLM's bodies are read by FastAPI, which words this one error differently.
        told["type"] = "model_attributes_type"
        told["msg"] = "Input should be a valid dictionary or object to extract fields from"
        told.pop("ctx", None)
    return told


def _places(loc: tuple[int | str, ...]) -> list[str]:
    return [p for p in map(str, loc) if p not in _INTERNAL_PLACES and not any(c in p for c in "[](){}")]


def _shown(value: object) -> str:
    if isinstance(value, list | dict):
        return f"<{type(value).__name__} of {len(value)} items>"
    text = str(value)
    return text if len(text) <= _MAX_INPUT_CHARACTERS else text[:_MAX_INPUT_CHARACTERS] + "...[truncated]"
