"""JSON Schemas that an engine is to compile into a grammar: bounded in every direction in which compilers grow.

An engine compiles a schema in the process that serves everybody, and there is a record of single requests that ended
it. The bounds hold for every schema of a request, those of tools too, which are compiled for a forced call.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gateway.core.errors import GatewayError, InvalidRequest
from gateway.openai import document
from gateway.openai.complaints import invalid, too_many
from gateway.openai.regexes import check_regex
from gateway.openai.structure import check_shape

MAX_BYTES = 64 * 1024
MAX_DEPTH = 16
"""Schemas inside schemas."""
MAX_PROPERTIES = 500
MAX_VALUES = 1_000
"""Of all `enum` together. OpenAI's bound, as is that for properties times five."""

_MAPS = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})
"""Keywords whose value maps names to schemas."""
_DATA = frozenset({"enum", "const", "default", "examples", "example"})
"""Keywords whose value is no schema, whatever it looks like."""
_LONGEST_INDEX = 4
"""Digits of an index in a reference."""
_REFERENCES = frozenset({"$ref", "$dynamicRef", "$recursiveRef"})
_SAME_VALUE = frozenset({"allOf", "anyOf", "oneOf", "not", "if", "then", "else"})
"""Keywords whose schemas speak of the same value: going through them is no step into it."""

Schema = Mapping[str, Any]


def check_schema(schema: Any, place: str) -> None:
    """Judge a schema, given as an object or as its text. Raises `InvalidRequest`."""
    if schema.__class__ is str:
        schema = _parsed(schema, place)
    elif schema.__class__ is not dict:
        return  # true, false or nothing: types are judged elsewhere
    elif len(document.encode(schema)) > MAX_BYTES:
        raise _too_large(place)
    _Walk(place).judge(schema)


def _parsed(text: str, place: str) -> dict[str, Any]:
    if len(text) > MAX_BYTES:
        raise _too_large(place)
    body = text.encode()
    try:
        schema = document.decode(body)
        check_shape(schema)
        document.check_names(body, document.encode(schema))
    except GatewayError as error:
        raise invalid(place, f"expected the text of a JSON object ({error.message.rstrip('.')})") from None
    return schema


def _too_large(place: str) -> InvalidRequest:
    return invalid(place, f"the schema is larger than {MAX_BYTES} bytes")


class _Walk:
    """One look at every schema inside a schema."""

    def __init__(self, place: str) -> None:
        self._place = place
        self._properties = self._values = 0
        self._references: list[Schema] = []

    def judge(self, root: Schema) -> None:
        """Judge `root` and all in it. Raises `InvalidRequest`."""
        level: list[Schema] = [root]
        for _ in range(MAX_DEPTH):
            for schema in level:
                self._judge_one(schema)
            level = [inner for schema in level for inner in _inner(schema)]
            if not level:
                break
        else:
            raise invalid(self._place, f"schemas are nested more than {MAX_DEPTH} deep")
        if self._references:
            self._check_references(root)

    def _judge_one(self, schema: Schema) -> None:
        place = self._place
        properties = schema.get("properties")
        if properties.__class__ is dict:
            self._properties += len(properties)
            if self._properties > MAX_PROPERTIES:
                raise too_many(place, self._properties, MAX_PROPERTIES, "properties")
        values = schema.get("enum")
        if values.__class__ is list:
            self._values += len(values)
            if self._values > MAX_VALUES:
                raise too_many(place, self._values, MAX_VALUES, "enum values")
        pattern = schema.get("pattern")
        if pattern.__class__ is str:
            check_regex(pattern, place)
        patterns = schema.get("patternProperties")
        if patterns.__class__ is dict:
            for each in patterns:
                check_regex(each, place)
        for keyword in schema.keys() & _REFERENCES:
            if schema[keyword].__class__ is str and not schema[keyword].startswith("#"):
                raise invalid(place, f"a {keyword} must point into the schema itself, as #/$defs/… does")
            self._references.append(schema)

    def _check_references(self, root: Schema) -> None:
        """Refuse references that lead nowhere, or round in a circle without a step into the value."""
        targets = {id(schema): self._targets(root, schema) for schema in self._references}
        done: set[int] = set()
        for start in self._references:
            path: dict[int, Iterator[Schema]] = {id(start): self._same_value(start, targets)}
            while path:
                at, following = next(reversed(path.items()))
                schema = next(following, None)
                if schema is None:
                    del path[at]
                    done.add(at)
                elif id(schema) in path:
                    raise invalid(self._place, "a $ref leads back to itself")
                elif id(schema) not in done:
                    path[id(schema)] = self._same_value(schema, targets)

    @staticmethod
    def _same_value(schema: Schema, targets: Mapping[int, list[Schema]]) -> Iterator[Schema]:
        """The schemas that must hold for the same value as `schema`."""
        yield from targets.get(id(schema), [])
        for keyword in schema.keys() & _SAME_VALUE:
            value = schema[keyword]
            for each in value if value.__class__ is list else [value]:
                if each.__class__ is dict:
                    yield each

    def _targets(self, root: Schema, schema: Schema) -> list[Schema]:
        return [
            self._resolved(root, schema[keyword])
            for keyword in schema.keys() & _REFERENCES
            if schema[keyword].__class__ is str
        ]

    def _resolved(self, root: Schema, reference: str) -> Schema:
        """What a JSON pointer in a fragment points at (RFC 6901, section 6)."""
        found: Any = root
        for step in reference[1:].split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            if found.__class__ is dict and name in found:
                found = found[name]
            elif (
                found.__class__ is list
                and name.isdecimal()
                and len(name) <= _LONGEST_INDEX
                and int(name) < len(found)
            ):
                found = found[int(name)]
            else:
                found = None
                break
        if found.__class__ is not dict or not (reference == "#" or reference.startswith("#/")):
            raise invalid(self._place, "a $ref points at nothing in the schema")
        return found


def _inner(schema: Schema) -> Iterator[Schema]:
    """The schemas directly inside `schema`."""
    for keyword, value in schema.items():
        if keyword in _DATA:
            continue
        if keyword in _MAPS and value.__class__ is dict:
            yield from (each for each in value.values() if each.__class__ is dict)
        elif value.__class__ is dict:
            yield value
        elif value.__class__ is list:
            yield from (each for each in value if each.__class__ is dict)
