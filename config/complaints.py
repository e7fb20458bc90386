"""Words for what pydantic found: which code, what, why and what to write instead.

A value is never quoted unless its key is a choice of words: it may be a secret.
"""

from __future__ import annotations

import re
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from config.problems import ConfigProblem
from config.schema import Config
from config.shape import KeyPath, closest, dotted, field_at, keys_at, suggest_key, type_at

_NEEDED = {
    "bool_type": "true or false",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "string_type": "text",
    "tuple_type": "a list",
    "dict_type": "a table of 'key: value' lines",
    "model_type": "a table of 'key: value' lines",
    "model_attributes_type": "a table of 'key: value' lines",
    "path_type": "a path, as text",
    "path_parsing": "a path, as text",
    "is_instance_of": "text",
}

_WRITTEN = {
    bool: "true or false",
    int: "a whole number",
    float: "a number with a point",
    str: "text",
    list: "a list",
    dict: "a table",
}

_TRUE_WORDS = {"yes", "on", "true", "y", "1"}
_FALSE_WORDS = {"no", "off", "false", "n", "0"}
_DIGITS = re.compile(r"\d+(\.\d+)?")
_LONGEST_QUOTE = 40


def path_of(error: ErrorDetails) -> KeyPath:
    """The place an error is about; contradictions name theirs in their context."""
    loc = tuple(part for part in error["loc"] if part != "[key]")
    context = error.get("ctx", {})
    return (*loc, *context["below"]) if "below" in context else loc


def is_about_key(error: ErrorDetails) -> bool:
    """Whether the key itself is wrong, not its value."""
    return error["type"] == "extra_forbidden" or error["loc"][-1:] == ("[key]",)


def problem_of(error: ErrorDetails, where: str, root: type[BaseModel] = Config) -> ConfigProblem:
    """Put one of pydantic's errors about `root` into words."""
    path, kind = path_of(error), error["type"]
    if kind == "extra_forbidden":
        return _unknown_key(path, where, root)
    if kind == "missing":
        return _missing(path, where, root)
    if kind == "literal_error":
        return _choice(path, where, error, root)
    if kind in _NEEDED:
        return _wrong_type(path, where, kind, error["input"], root)
    if kind == "contradiction":
        context = error["ctx"]
        return ConfigProblem("CFG011", where, error["msg"], context["why"], hint=context["hint"])
    return ConfigProblem(
        "CFG006",
        where,
        f"'{dotted(path)}': {_message(error)}",
        _purpose(path, root),
        hint=_example(path, root),
    )


def _message(error: ErrorDetails) -> str:
    text = error["msg"].removeprefix("Value error, ")
    return text[0].lower() + text[1:]


def _purpose(path: KeyPath, root: type[BaseModel]) -> str:
    """What the key is for, in the schema's words."""
    for length in range(len(path), 0, -1):
        field = field_at(path[:length], root)
        if field is not None and field.description:
            return f"{dotted(path[:length])}: {field.description}"
    return "the schema allows nothing else here: cascadia config schema prints it"


def _example(path: KeyPath, root: type[BaseModel]) -> str | None:
    field = field_at(path, root)
    if field is not None and field.examples:
        return f"for example {field.examples[0]}"
    if field is not None and not field.is_required() and isinstance(field.default, str | int | float):
        return f"the default is {_as_written(field.default)}"
    return None


def _as_written(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _unknown_key(path: KeyPath, where: str, root: type[BaseModel]) -> ConfigProblem:
    known = ", ".join(keys_at(path[:-1], root))
    place = f"in '{dotted(path[:-1])}'" if len(path) > 1 else "at the top level"
    return ConfigProblem(
        "CFG003",
        where,
        f"unknown key '{path[-1]}' {place}",
        "a misspelt key would leave its default in force without a word",
        hint=suggest_key(path, root) or f"the keys here are: {known}",
    )


def _missing(path: KeyPath, where: str, root: type[BaseModel]) -> ConfigProblem:
    return ConfigProblem(
        "CFG007",
        where,
        f"'{dotted(path)}' is missing",
        f"{_purpose(path, root)} It has no default",
        hint=f"add '{path[-1]}: ...'",
    )


def _choice(path: KeyPath, where: str, error: ErrorDetails, root: type[BaseModel]) -> ConfigProblem:
    given, known = str(error["input"])[:_LONGEST_QUOTE], [str(word) for word in _words_at(path, root)]
    near = closest(given, known)
    allowed = f"write one of: {', '.join(known)}"
    return ConfigProblem(
        "CFG005",
        where,
        f"'{given}' is not a value of '{dotted(path)}'",
        _purpose(path, root),
        hint=f"did you mean '{near}'? {allowed}" if near else allowed,
    )


def _words_at(path: KeyPath, root: type[BaseModel]) -> tuple[Any, ...]:
    return get_args(type_at(path, root))


def _wrong_type(path: KeyPath, where: str, kind: str, given: Any, root: type[BaseModel]) -> ConfigProblem:
    needed = _NEEDED[kind]
    written = "nothing" if given is None else _WRITTEN.get(type(given), "another type")
    return ConfigProblem(
        "CFG004",
        where,
        f"'{dotted(path)}' must be {needed}, and {written} stands there",
        _purpose(path, root),
        hint=_type_hint(needed, given, path, root),
    )


def _type_hint(needed: str, given: Any, path: KeyPath, root: type[BaseModel]) -> str:
    if given is None:
        return f"write a value after '{path[-1]}:', or remove the line"
    if needed == "true or false":
        return _boolean_hint(str(given).lower())
    if needed == "text" and isinstance(given, bool | int | float):
        return f'put it in quotes: "{_as_written(given)}"'
    if needed == "a list":
        return _list_hint(given, path, root)
    if needed in {"a number", "a whole number"} and isinstance(given, str):
        digits = _DIGITS.search(given)
        return f"write {digits[0]}, without quotes or a unit" if digits else f"write {needed}, without quotes"
    return f"write {needed}"


def _boolean_hint(word: str) -> str:
    if word in _TRUE_WORDS:
        return "write true"
    return "write false" if word in _FALSE_WORDS else "write true or false"


def _list_hint(given: Any, path: KeyPath, root: type[BaseModel]) -> str:
    is_of_text = get_origin(type_at(path, root)) is tuple and type_at((*path, 0), root) is str
    if is_of_text and isinstance(given, str | int) and len(str(given)) <= _LONGEST_QUOTE:
        return f"write it as a list: [{given}]"
    return "begin each item with '- '"
