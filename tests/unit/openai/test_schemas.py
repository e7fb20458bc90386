"""Schemas and other constraints that an engine would compile: bounded in each direction, and everyday ones pass."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest

from gateway.core.errors import FieldNotAllowed, InvalidRequest
from gateway.openai import schemas
from gateway.openai.formats import check_formats, check_tools
from gateway.openai.schemas import check_schema

TREE = {
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "value": {"type": "integer"},
                "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
                "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
            },
        }
    },
    "$ref": "#/$defs/node",
}
PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "pattern": "^[A-Z][a-z]+$", "description": "Who"},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "role": {"enum": ["a", "b", None, 3]},
        "home": {"$ref": "#/definitions/address"},
        "$ref": {"type": "string"},
        "enum": {"type": "array", "items": {"type": "string"}},
        "pattern": {"type": "string", "default": "(a+)+"},
    },
    "required": ["name"],
    "additionalProperties": False,
    "definitions": {
        "address": {"type": "object", "properties": {"a/b": {"const": {"$ref": "x"}}, "c~d": {}}}
    },
    "examples": [{"$ref": "http://nowhere.test", "pattern": "(a+)+"}],
    "default": {"properties": {str(index): 1 for index in range(1000)}},
}
GOOD: list[Any] = [
    {},
    True,
    None,
    {"type": "string"},
    TREE,
    PERSON,
    {"properties": {"self": {"$ref": "#"}}},
    {"allOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/a"}], "$defs": {"a": {"type": "string"}}},
    {"properties": {"x": {"$ref": "#/definitions/a~1b"}}, "definitions": {"a/b": {}}},
    {"properties": {"x": {"$ref": "#/anyOf/1"}}, "anyOf": [{}, {"type": "object"}]},
    json.dumps(TREE),
    json.dumps(PERSON),
]


@pytest.mark.parametrize("schema", GOOD, ids=lambda schema: str(schema)[:24])
def test_an_everyday_schema_passes(schema) -> None:
    check_schema(schema, "x")


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(levels - 1):
        schema = {"items": schema}
    return schema


def circle(*names: str) -> dict[str, Any]:
    following = (*names[1:], names[0])
    return {
        "$defs": {name: {"$ref": f"#/$defs/{after}"} for name, after in zip(names, following, strict=True)},
        "$ref": f"#/$defs/{names[0]}",
    }


BAD: dict[str, tuple[Any, str]] = {
    "larger than 64 KiB": ({"description": "x" * 65_536}, "larger"),
    "text larger than 64 KiB": (json.dumps({"description": "x" * 65_536}), "larger"),
    "17 deep": (nested(17), "deep"),
    "501 properties": ({"properties": {str(index): {} for index in range(501)}}, "501 properties"),
    "properties of two": (
        {
            "properties": {str(index): {} for index in range(300)},
            "items": {"properties": {str(index): {} for index in range(300)}},
        },
        "properties",
    ),
    "1,001 enum values": ({"enum": list(range(1001))}, "1001 enum"),
    "enums of many": ({"anyOf": [{"enum": list(range(400))} for _ in range(3)]}, "1200 enum"),
    "remote": ({"$ref": "http://127.0.0.1:6379/x"}, "point into"),
    "remote inside": (
        {"items": {"properties": {"a": {"$ref": "https://example.com/s.json#/a"}}}},
        "point into",
    ),
    "file": ({"$ref": "file:///etc/passwd"}, "point into"),
    "relative": ({"$ref": "other.json"}, "point into"),
    "dynamic": ({"$dynamicRef": "x"}, "point into"),
    "recursive": ({"$recursiveRef": "x#"}, "point into"),
    "to nothing": ({"$ref": "#/$defs/none"}, "nothing"),
    "to an anchor": ({"$ref": "#here", "$defs": {"a": {"$anchor": "here"}}}, "nothing"),
    "to a word": ({"$ref": "#/type", "type": "string"}, "nothing"),
    "through a list": ({"$ref": "#/anyOf/2", "anyOf": [{}, {}]}, "nothing"),
    "to itself": ({"$ref": "#"}, "itself"),
    "to itself by name": (circle("a"), "itself"),
    "two in a circle": (circle("a", "b"), "itself"),
    "a circle through anyOf": (
        {"$defs": {"a": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/a"}]}}, "$ref": "#/$defs/a"},
        "itself",
    ),
    "a circle through allOf and not": (
        {"allOf": [{"not": {"$ref": "#/allOf/0"}}]},
        "itself",
    ),
    "a circle that nothing points at": ({"type": "string", "$defs": circle("a", "b")["$defs"]}, "itself"),
    "regex": ({"pattern": "(a+)+"}, "stands inside another"),
    "regex of names": ({"patternProperties": {"(a*)*": {}}}, "stands inside another"),
    "long regex": ({"items": {"pattern": "a" * 1025}}, "1024"),
    "text that is none": ("{", "expected the text"),
    "text of an array": ("[]", "expected the text"),
    "empty text": ("", "expected the text"),
    "text with a key twice": ('{"type":"string","type":"object"}', "twice"),
    "deep text": ('{"x":' + "[" * 40 + "]" * 40 + "}", "expected the text"),
    "very deep text": ('{"x":' + "[" * 30_000 + "]" * 30_000 + "}", "expected the text"),
}


@pytest.mark.parametrize(("schema", "why"), BAD.values(), ids=BAD.keys())
def test_a_schema_that_an_engine_would_not_survive_is_refused(schema, why) -> None:
    with pytest.raises(InvalidRequest, match=why) as refusal:
        check_schema(schema, "response_format.json_schema.schema")
    assert refusal.value.param is not None
    assert refusal.value.param.startswith("response_format")


def test_the_bounds_themselves_are_allowed() -> None:
    check_schema(nested(16), "x")
    check_schema({"properties": {str(index): {} for index in range(500)}}, "x")
    check_schema({"enum": list(range(1000))}, "x")
    check_schema({"description": "x" * (schemas.MAX_BYTES - len('{"description":""}'))}, "x")


def test_many_references_to_one_schema_take_no_time() -> None:
    """Each level doubles the ways through: only a walk that remembers where it was comes to an end."""
    names = [str(index) for index in range(60)]
    defs: dict[str, Any] = {
        name: {"allOf": [{"$ref": f"#/$defs/{after}"}] * 2} for name, after in pairwise(names)
    }
    check_schema({"$defs": {**defs, "59": {"type": "string"}}, "$ref": "#/$defs/0"}, "x")


FORMATS: list[tuple[dict[str, Any], str | None]] = [
    ({"response_format": {"type": "text"}}, None),
    ({"response_format": {"type": "json_object"}}, None),
    ({"response_format": {"type": "json_object", "schema": PERSON}}, None),
    (
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "p", "schema": PERSON, "strict": True},
            }
        },
        None,
    ),
    ({"response_format": None, "structured_outputs": None, "guided_json": None}, None),
    ({"structured_outputs": {"json": PERSON}}, None),
    ({"structured_outputs": {"json": json.dumps(PERSON), "whitespace_pattern": r"\s?"}}, None),
    ({"structured_outputs": {"regex": r"\d+"}}, None),
    ({"structured_outputs": {"choice": ["a", "b"], "disable_any_whitespace": True}}, None),
    ({"guided_json": PERSON, "guided_regex": "a+", "guided_choice": ["x"]}, None),
    ({"response_format": {}}, "response_format.type"),
    ({"response_format": {"type": 5}}, "response_format.type"),
    ({"response_format": {"type": ["text"]}}, "response_format.type"),
    ({"response_format": {"type": "yaml"}}, "response_format.type"),
    ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
    ({"response_format": {"type": "json_schema", "json_schema": "x"}}, "response_format.json_schema"),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"schema": {"$ref": "http://x"}}}},
        "response_format.json_schema.schema",
    ),
    ({"response_format": {"type": "json_object", "schema": {"$ref": "http://x"}}}, "response_format.schema"),
    ({"structured_outputs": {"json": {"pattern": "(a+)+"}}}, "structured_outputs.json"),
    ({"structured_outputs": {"regex": "(a+)+"}}, "structured_outputs.regex"),
    ({"structured_outputs": {"regex": ""}}, "structured_outputs.regex"),
    ({"structured_outputs": {"choice": []}}, "structured_outputs.choice"),
    ({"structured_outputs": {"choice": ["x"] * 1001}}, "structured_outputs.choice"),
    ({"structured_outputs": {"choice": ["x" * 40_000] * 2}}, "structured_outputs.choice"),
    ({"structured_outputs": {"whitespace_pattern": "(a*)*"}}, "structured_outputs.whitespace_pattern"),
    ({"guided_json": "{"}, "guided_json"),
    ({"guided_regex": "("}, "guided_regex"),
    ({"guided_choice": []}, "guided_choice"),
]


@pytest.mark.parametrize(("members", "param"), FORMATS)
def test_every_way_to_constrain_an_answer_is_judged(members, param) -> None:
    if param is None:
        check_formats(members, allows_grammars=False)
        return
    with pytest.raises(InvalidRequest) as refusal:
        check_formats(members, allows_grammars=False)
    assert refusal.value.param == param


GRAMMARS: list[tuple[dict[str, Any], str]] = [
    ({"structured_outputs": {"grammar": 'root ::= "a"'}}, "structured_outputs.grammar"),
    ({"structured_outputs": {"structural_tag": "{}"}}, "structured_outputs.structural_tag"),
    ({"guided_grammar": 'root ::= "a"'}, "guided_grammar"),
    ({"response_format": {"type": "structural_tag", "format": {}}}, "response_format"),
]


@pytest.mark.parametrize(("members", "param"), GRAMMARS)
def test_grammars_are_off_unless_an_operator_allows_them(members, param) -> None:
    with pytest.raises(FieldNotAllowed) as refusal:
        check_formats(members, allows_grammars=False)
    assert refusal.value.param == param
    check_formats(members, allows_grammars=True)


def test_a_grammar_is_bounded_where_it_is_allowed() -> None:
    for grammar in ("", "x" * 65_537):
        with pytest.raises(InvalidRequest):
            check_formats({"guided_grammar": grammar}, allows_grammars=True)


def test_parameters_of_tools_are_schemas_too() -> None:
    good = {"type": "function", "function": {"name": "f", "parameters": PERSON}}
    bad = {"type": "function", "function": {"name": "g", "parameters": {"$ref": "http://x"}}}
    check_tools([good, {"function": {"name": "h"}}, {"name": "old", "parameters": None}], "tools")
    with pytest.raises(InvalidRequest) as refusal:
        check_tools([good, bad], "tools")
    assert refusal.value.param == "tools[1].function.parameters"
    with pytest.raises(InvalidRequest) as refusal:
        check_tools([{"name": "old", "parameters": {"pattern": "(a+)+"}}], "functions")
    assert refusal.value.param == "functions[0].parameters"
