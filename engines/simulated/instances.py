"""The smallest JSON that a JSON Schema accepts: what a constrained answer says."""

from __future__ import annotations

import json
from typing import Any

_TYPES = ("object", "array", "string", "number", "integer", "boolean", "null")
_MAX_DEPTH = 32


class GrammarError(Exception):
    """The schema cannot be followed."""


def minimal_text(schema: Any, *, text: str = "") -> str:
    """Give the smallest instance of `schema` as JSON text; strings say `text` where they may.

    Raises `GrammarError` for a schema that has no instance or an unknown type.
    """
    return json.dumps(_instance(schema, schema, text, 0), ensure_ascii=False)


def _instance(schema: Any, root: Any, text: str, depth: int) -> Any:
    if depth > _MAX_DEPTH:
        raise GrammarError("The schema refers to itself without end")
    if schema is True:
        schema = {}
    if not isinstance(schema, dict):
        raise GrammarError(f"Invalid schema: {schema}")
    if "$ref" in schema:
        return _instance(_referred(schema["$ref"], root), root, text, depth + 1)
    if "const" in schema or schema.get("enum"):
        return schema["const"] if "const" in schema else schema["enum"][0]
    for union in ("anyOf", "oneOf"):
        if schema.get(union):
            return _instance(schema[union][0], root, text, depth + 1)
    if schema.get("allOf"):
        return _instance(_merged(schema["allOf"], root), root, text, depth + 1)
    return _typed_instance(_type(schema), schema, root, text, depth)


def _type(schema: dict[str, Any]) -> str:
    named = schema.get("type")
    if isinstance(named, list):
        named = named[0] if named else None
    if named is None:
        return "array" if "items" in schema else "object"
    if named not in _TYPES:
        raise GrammarError(f"Invalid type: {named}")
    return str(named)


def _typed_instance(kind: str, schema: dict[str, Any], root: Any, text: str, depth: int) -> Any:
    if kind == "object":
        properties = schema.get("properties", {})
        return {
            name: _instance(properties.get(name, True), root, text, depth + 1)
            for name in schema.get("required", ())
        }
    if kind == "array":
        count = int(schema.get("minItems", 0))
        return [_instance(schema.get("items", True), root, text, depth + 1) for _ in range(count)]
    if kind == "string":
        fitting = text[: int(schema.get("maxLength", len(text)))]
        return fitting.ljust(int(schema.get("minLength", 0)), "x")
    if kind in {"integer", "number"}:
        return _number(schema, whole=kind == "integer")
    return None if kind == "null" else True


def _number(schema: dict[str, Any], *, whole: bool) -> float:
    step = schema.get("multipleOf", 1)
    least = schema.get("minimum", schema.get("exclusiveMinimum", 0))
    most = schema.get("maximum", schema.get("exclusiveMaximum"))
    if most is not None and least > most:
        least = most
    value = -(-least // step) * step
    if value == schema.get("exclusiveMinimum"):
        value += step
    return int(value) if whole else value


def _referred(reference: str, root: Any) -> Any:
    found = root
    for name in reference.removeprefix("#").strip("/").split("/"):
        if name:
            found = found.get(name) if isinstance(found, dict) else None
    if found is None:
        raise GrammarError(f"Cannot find field {reference}")
    return found


def _merged(parts: list[Any], root: Any) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for part in parts:
        schema = _referred(part["$ref"], root) if "$ref" in part else part
        properties = {**merged.get("properties", {}), **schema.get("properties", {})}
        required = [*merged.get("required", ()), *schema.get("required", ())]
        merged = {**merged, **schema, "properties": properties, "required": required}
    return merged
