"""Whatever bytes come: a refusal that names what is wrong, or a body that everybody reads as it was read here."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.call import Envelope, Operation
from gateway.core.errors import FieldNotAllowed, InvalidJson, InvalidRequest
from gateway.openai import errors
from gateway.openai.envelope import Reader, upstream_body
from gateway.openai.fields import SHAPES
from gateway.openai.operations import CHAT, OPERATIONS
from gateway.openai.privileges import PRIVILEGED
from gateway.openai.rules import Caps, Rules, Treatment

READERS = {
    "default": Reader(Rules()),
    "open": Reader(
        Rules(
            privileged=Treatment.STRIP,
            unknown=Treatment.PASS,
            allowed=frozenset({*PRIVILEGED, "chat_template_kwargs"}),
            media_hosts=frozenset({"media.example.org"}),
            allows_grammars=True,
            caps=Caps(),
        )
    ),
    "capped": Reader(Rules(unknown=Treatment.REFUSE, caps=Caps(n=2, max_tokens=64, messages=3, stop=1))),
}
NAMES = sorted(
    {name for shape in SHAPES.values() for name in shape.__struct_fields__} | {*PRIVILEGED, "x", "echo"}
)
PART_NAMES = [
    "type",
    "text",
    "image_url",
    "url",
    "video_url",
    "input_audio",
    "data",
    "format",
    "file",
    "uuid",
    "x",
]
SCHEMA_NAMES = [
    "$ref",
    "properties",
    "anyOf",
    "items",
    "pattern",
    "enum",
    "$defs",
    "type",
    "json_schema",
    "schema",
]
WORDS = [
    *(
        "user",
        "text",
        "image_url",
        "function",
        "json_schema",
        "structural_tag",
        "",
        "m",
        "#",
        "#/$defs/a",
        "(a+)+",
    ),
    *(
        "https://media.example.org/a",
        "http://127.0.0.1",
        "data:image/png;base64,AA",
        'é\\"\n',
        "left",
        "\x00",
    ),
]
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-3, 40)
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(WORDS)
    | st.text(max_size=8)
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from([*PART_NAMES, *SCHEMA_NAMES, "role", "content", "name"]), inner, max_size=4
        )
        | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=12,
)
MESSAGES = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant", "tool"])},
        optional={
            "content": st.text(max_size=9)
            | st.lists(st.dictionaries(st.sampled_from(PART_NAMES), VALUES, max_size=4), max_size=3),
            "name": VALUES,
            "tool_calls": VALUES,
        },
    ),
    min_size=1,
    max_size=4,
)
RIGHT: dict[str, list[Any]] = {
    "n": [1, 2],
    "stop": ["x", ["a", "b"]],
    "stream": [True],
    "stream_options": [{}, {"include_usage": True}, {"include_usage": False, "x": [1]}, None],
    "max_tokens": [1, 64],
    "temperature": [0, 1.5],
    "seed": [2**53],
    "tools": [
        [
            {
                "type": "function",
                "function": {"name": "f", "parameters": {"$ref": "#/$defs/a", "$defs": {"a": {}}}},
            }
        ]
    ],
    "response_format": [{"type": "json_object"}, {"type": "structural_tag", "format": {}}],
    "structured_outputs": [{"regex": "a+"}, {"choice": ["a"]}, {"grammar": "x"}, {"json": "{}"}],
    "guided_json": ["{}", {"enum": [1]}],
    "logit_bias": [{"1": 1}],
    "chat_template_kwargs": [{"enable_thinking": True}, {"x": 1}],
}
MEMBERS = st.sampled_from(NAMES).flatmap(
    lambda name: st.tuples(st.just(name), st.sampled_from(RIGHT[name]) | VALUES if name in RIGHT else VALUES)
)
DOCUMENTS = st.builds(
    lambda model, messages, prompt, members, is_last: (
        {**dict(members), "messages": messages, "prompt": prompt, "model": model}
        if is_last
        else {"model": model, "messages": messages, "prompt": prompt, **dict(members)}
    ),
    st.sampled_from(["m", 'é"']),
    MESSAGES,
    st.sampled_from(["x", ["x", "y"], [1, 2], [[1], [2]]]) | VALUES,
    st.lists(MEMBERS, max_size=4),
    st.booleans(),
)
SPELLINGS = st.sampled_from([{"separators": (",", ":")}, {}, {"ensure_ascii": False, "indent": 1}])


def read_or_refusal(reader: str, operation: Operation, body: bytes) -> Envelope | InvalidRequest:
    """What reading gives or raises; anything else it raises is a failure of the test."""
    try:
        return READERS[reader].read(operation, body, "-")
    except InvalidRequest as refusal:
        return refusal


def outcome(reader: str, operation: Operation, body: bytes) -> dict[str, Any] | None:
    """What would be sent, read by the standard library; `None` after a proper refusal."""
    found = read_or_refusal(reader, operation, body)
    if isinstance(found, InvalidRequest):
        assert type(found) in {InvalidRequest, InvalidJson, FieldNotAllowed}
        assert found.message
        json.loads(errors.body_of(found))
        return None
    renamed = json.loads(upstream_body(found, "an other"))
    plain: dict[str, Any] = json.loads(found.body)
    assert renamed == {**plain, "model": "an other"}
    assert plain["model"] == found.model
    return plain


def expected(reader: str, operation: Operation, body: bytes) -> Any:
    """What the standard library reads of `body`, with the changes that are ours."""
    members = json.loads(body)
    if reader == "default":
        known = SHAPES[operation.name].__struct_fields__
        members = {name: value for name, value in members.items() if name in known}
    if (
        reader == "capped"
        and members.get("max_tokens") is None
        and members.get("max_completion_tokens") is None
    ):
        members["max_tokens"] = ANY
    if members.get("stream") is True:
        members["stream_options"] = {**(members.get("stream_options") or {}), "include_usage": True}
    return members


class Anything:
    """Equal to everything."""

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


ANY = Anything()


@settings(max_examples=400, deadline=None)
@given(
    document=DOCUMENTS,
    reader=st.sampled_from(sorted(READERS)),
    operation=st.sampled_from(list(OPERATIONS.values())),
    spelling=SPELLINGS,
)
def test_a_document_is_refused_or_sent_as_it_was_read(document, reader, operation, spelling) -> None:
    if operation is CHAT:
        document.pop("prompt")
    else:
        document.pop("messages")
    body = json.dumps(document, **spelling).encode()
    found = outcome(reader, operation, body)
    if found is not None:
        assert found == expected(reader, operation, body)


@settings(max_examples=300, deadline=None)
@given(value=VALUES, reader=st.sampled_from(sorted(READERS)), spelling=SPELLINGS)
def test_any_json_is_refused_or_sent_as_it_was_read(value, reader, spelling) -> None:
    outcome(reader, CHAT, json.dumps(value, **spelling).encode())


@settings(max_examples=300, deadline=None)
@given(raw=st.binary(max_size=80), reader=st.sampled_from(sorted(READERS)))
def test_any_bytes_are_refused_or_sent_as_they_were_read(raw, reader) -> None:
    for body in (raw, b'{"model":"m","messages":[{"role":"user"}],"x":' + raw + b"}"):
        outcome(reader, CHAT, body)


PICTURE = "data:image/png;base64,AA"
VALID = [
    b'{"model":"m","messages":[{"role":"user","content":"\\u00e9 \\" x"}],"temperature":0.5,"stream":true}',
    json.dumps(
        {
            "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": PICTURE}}]}],
            "model": "m",
            "n": 2,
            "stop": ["a"],
            "logit_bias": {"5": -1.5},
            "tools": [{"type": "function", "function": {"name": "f"}}],
        }
    ).encode(),
    json.dumps(
        {
            "model": "m",
            "messages": [{"role": "user"}],
            "response_format": {
                "type": "json_schema",
                "json_schema": {
                    "name": "x",
                    "schema": {"$defs": {"a": {"pattern": "^a+$"}}, "anyOf": [{"$ref": "#/$defs/a"}]},
                },
            },
            "x": [1, -0.0, 1e5, None, True],
        },
        separators=(",", ":"),
    ).encode(),
]
BYTES = b'"\\{}[]:,0129.eE+-unltrfasx \n\x00\xff\xed\xa0\x80'


@pytest.mark.parametrize("reader", sorted(READERS))
@pytest.mark.parametrize("valid", VALID, ids=range(len(VALID)))
def test_a_valid_body_with_bytes_changed_is_refused_or_sent_as_it_was_read(valid, reader) -> None:
    rng = random.Random(valid + reader.encode())
    accepted = 0
    for _ in range(3000):
        body = bytearray(valid)
        for _ in range(rng.choice([1, 1, 2, 5])):
            at = rng.randrange(len(body))
            change = rng.randrange(4)
            if change == 0:
                body[at] = rng.choice(BYTES)
            elif change == 1:
                body.insert(at, rng.choice(BYTES))
            elif change == 2:
                del body[at : at + rng.choice([1, 1, 8])]
            else:
                end = min(len(body), at + rng.randrange(1, 30))
                body[at:at] = body[at:end]
        found = outcome(reader, CHAT, bytes(body))
        if found is not None and reader == "open":
            accepted += 1
            assert found == expected(reader, CHAT, bytes(body))
    assert reader != "open" or accepted > 100
