"""The schema as a tree to walk: which keys exist at a place, which type a value has there, what was meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from config.schema import Config

KeyPath = tuple[str | int, ...]
"""A place in the configuration: `("engines", 0, "args")`."""

_LEAST_LIKENESS = 0.6


def dotted(path: KeyPath) -> str:
    """`engines[0].args` for `("engines", 0, "args")`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _bare(annotation: Any) -> Any:
    """The annotation without `None`: an optional section is still that section."""
    if get_origin(annotation) in {Union, UnionType}:
        inner = [argument for argument in get_args(annotation) if argument is not type(None)]
        return _bare(inner[0]) if len(inner) == 1 else annotation
    return _bare(get_args(annotation)[0]) if hasattr(annotation, "__metadata__") else annotation


def _step(annotation: Any, part: str | int) -> Any:
    """The type one step further down, `None` where there is no such place."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        field = annotation.model_fields.get(str(part))
        return None if field is None else _bare(field.annotation)
    arguments = get_args(annotation)
    if get_origin(annotation) is tuple and isinstance(part, int):
        return _bare(arguments[0])
    if get_origin(annotation) is dict and isinstance(part, str):
        return _bare(arguments[1])
    return None


def type_at(path: KeyPath, root: type[BaseModel] = Config) -> Any:
    """The type of the value at `path` of `root`, without `None`; `None` when that has no such place."""
    annotation: Any = root
    for part in path:
        annotation = _step(annotation, part)
    return annotation


def field_at(path: KeyPath, root: type[BaseModel] = Config) -> FieldInfo | None:
    """The field written at `path`; `None` for an item of a list or a key of a table."""
    parent = type_at(path[:-1], root) if path else None
    if isinstance(parent, type) and issubclass(parent, BaseModel):
        return parent.model_fields.get(str(path[-1]))
    return None


def keys_at(path: KeyPath, root: type[BaseModel] = Config) -> list[str]:
    """The keys that may be written at `path`."""
    annotation = type_at(path, root)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return list(annotation.model_fields)
    return []


def sections(model: type[BaseModel] = Config, above: str = "") -> Iterator[tuple[str, str]]:
    """Every key of the schema with the dotted place that holds it, lists written as `engines[]`."""
    for name, field in model.model_fields.items():
        yield above, name
        inner = _bare(field.annotation)
        many = get_origin(inner) is tuple
        if many:
            inner = _bare(get_args(inner)[0])
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            place = f"{above}.{name}" if above else name
            yield from sections(inner, f"{place}[]" if many else place)


def _plain(word: str) -> str:
    """Spelling without what people vary: case, `-`, `_`."""
    return word.lower().replace("-", "").replace("_", "")


def closest(word: str, known: Iterable[str]) -> str | None:
    """What was probably meant by `word`, or `None` when nothing is alike."""
    by_plain = {_plain(name): name for name in known}
    found = difflib.get_close_matches(_plain(word), by_plain, n=1, cutoff=_LEAST_LIKENESS)
    return by_plain[found[0]] if found else None


def suggest_key(path: KeyPath, root: type[BaseModel] = Config) -> str | None:
    """What to write instead of the unknown key at `path`: a like key there, or the place where it exists."""
    word = str(path[-1])
    if near := closest(word, keys_at(path[:-1], root)):
        return f"did you mean '{near}'?"
    elsewhere = [(place, name) for place, name in sections(root) if _plain(name) == _plain(word)]
    if elsewhere:
        place, name = elsewhere[0]
        owner = f"under '{place}'" if place else "at the top level"
        return f"did you mean '{name}' {owner}?"
    return None
