"""What a request says its answer must look like: everything that an engine compiles before it begins."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gateway.core.errors import FieldNotAllowed
from gateway.openai import document
from gateway.openai.complaints import invalid, too_many
from gateway.openai.regexes import check_regex
from gateway.openai.schemas import MAX_BYTES, MAX_VALUES, check_schema

_FORMATS = frozenset({"text", "json_object", "json_schema", "structural_tag"})
_GUIDED = {f"guided_{kind}": kind for kind in ("json", "regex", "choice", "grammar")}
_PLAIN_FORMATS = frozenset({"text", "json_object"})


def check_formats(members: Mapping[str, Any], *, allows_grammars: bool) -> None:
    """Judge `response_format`, `structured_outputs` and the `guided_` fields, whose types are right.

    Raises `InvalidRequest`; `FieldNotAllowed` for a grammar where the operator allows none.
    """
    response_format = members.get("response_format")
    if response_format is not None:
        _check_response_format(response_format, allows_grammars=allows_grammars)
    for name in members.keys() & _GUIDED.keys():
        _check_constraint(_GUIDED[name], members[name], name, allows_grammars=allows_grammars)
    for name, value in (members.get("structured_outputs") or {}).items():
        _check_constraint(name, value, f"structured_outputs.{name}", allows_grammars=allows_grammars)


def check_tools(tools: Any, place: str) -> None:
    """Judge the parameters of `tools`, or of the older `functions`: a call is held to them by a grammar."""
    for index, tool in enumerate(tools):
        function, path = (tool["function"], "function.") if "function" in tool else (tool, "")
        parameters = function.get("parameters")
        if parameters:
            check_schema(parameters, f"{place}[{index}].{path}parameters")


def _check_response_format(wanted: dict[str, Any], *, allows_grammars: bool) -> None:
    kind = wanted.get("type")
    if kind not in _FORMATS if kind.__class__ is str else True:
        raise invalid("response_format.type", f"expected one of {', '.join(sorted(_FORMATS))}")
    if kind == "structural_tag":
        _check_grammar(document.encode(wanted), "response_format", allows_grammars=allows_grammars)
        return
    schema = wanted.get("json_schema")
    if kind == "json_schema" and schema.__class__ is not dict:
        raise invalid("response_format.json_schema", "expected an object with a name and a schema")
    if schema.__class__ is dict:
        check_schema(schema.get("schema"), "response_format.json_schema.schema")
    if kind in _PLAIN_FORMATS:
        check_schema(wanted.get("schema"), "response_format.schema")


def _check_constraint(kind: str, value: Any, place: str, *, allows_grammars: bool) -> None:
    check = _CONSTRAINTS.get(kind)
    if value is None:
        return
    if kind in _GRAMMARS:
        _check_grammar(value.encode(), place, allows_grammars=allows_grammars)
    elif check is not None:
        check(value, place)


def _check_grammar(text: bytes, place: str, *, allows_grammars: bool) -> None:
    if not allows_grammars:
        raise FieldNotAllowed(
            f"The field {place!r} is not allowed here: grammars are off unless an operator allows them. "
            "Use a JSON schema.",
            param=place,
        )
    if not text or len(text) > MAX_BYTES:
        raise invalid(place, f"expected a grammar of 1 to {MAX_BYTES} bytes")


def _check_one_regex(pattern: str, place: str) -> None:
    if not pattern:
        raise invalid(place, "expected a regular expression that is not empty")
    check_regex(pattern, place)


def _check_choice(values: list[str], place: str) -> None:
    if not values:
        raise invalid(place, "expected at least one choice")
    if len(values) > MAX_VALUES:
        raise too_many(place, len(values), MAX_VALUES, "choices")
    if sum(map(len, values)) > MAX_BYTES:
        raise invalid(place, f"the choices have more than {MAX_BYTES} characters together")


_GRAMMARS = frozenset({"grammar", "structural_tag"})
_CONSTRAINTS: Mapping[str, Callable[[Any, str], None]] = {
    "json": check_schema,
    "regex": _check_one_regex,
    "whitespace_pattern": _check_one_regex,
    "choice": _check_choice,
}
