"""Request bodies as a whole: what is sent on is what was read, changed where it must be and nowhere else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.call import Envelope, Operation
from gateway.core.errors import InvalidJson, InvalidRequest
from gateway.openai.envelope import Reader, upstream_body
from gateway.openai.fields import SHAPES
from gateway.openai.operations import CHAT, COMPLETIONS
from gateway.openai.rules import Rules, Treatment
from gateway.openai.structure import LARGE_BYTES

MESSAGES = [{"role": "user", "content": "x"}]
BODY: dict[str, Any] = {"model": "m", "messages": MESSAGES}
TEXT: dict[str, Any] = {"model": "m", "prompt": "x"}
PASSES_UNKNOWN = Rules(unknown=Treatment.PASS)
DEFAULT = Rules()


def read(
    body: bytes | dict[str, Any], operation: Operation = CHAT, rules: Rules = DEFAULT, key_id: str = "-"
) -> Envelope:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Reader(rules).read(operation, raw, key_id)


def read_or_refusal(body: bytes, rules: Rules = DEFAULT) -> Envelope | InvalidRequest:
    """What reading gives or raises; anything else it raises is a failure of the test."""
    try:
        return read(body, rules=rules)
    except InvalidRequest as refusal:
        return refusal


def sent(body: bytes | dict[str, Any], model: str = "m", **more: Any) -> Any:
    return json.loads(upstream_body(read(body, **more), model))


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
KNOWN = frozenset(SHAPES[CHAT.name].__struct_fields__)


@settings(max_examples=80, deadline=None)
@given(
    members=st.dictionaries(st.text().filter(lambda name: name not in KNOWN), VALUES, max_size=4),
    ascii_=st.booleans(),
    is_compact=st.booleans(),
)
def test_members_that_pass_keep_their_value(members, ascii_, is_compact) -> None:
    body = {**members, **BODY}
    raw = json.dumps(body, ensure_ascii=ascii_, separators=(",", ":") if is_compact else None).encode()
    rules = Rules(allowed=frozenset(members))
    found = Reader(rules).read(CHAT, raw, "-")
    assert json.loads(upstream_body(found, "other")) == {**body, "model": "other"}
    assert json.loads(upstream_body(found, "m")) == body
    assert found.stripped == b""


def test_text_is_known_for_text_and_a_picture_is_not() -> None:
    assert read({"model": "m", "messages": MESSAGES}).is_text
    assert read({"model": "m", "messages": MESSAGES, "stream": True}).is_text
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    assert not read({"model": "m", "messages": [{"role": "user", "content": [picture]}]}).is_text


def test_a_plain_body_that_is_written_compactly_goes_on_byte_for_byte() -> None:
    for body in (
        {"model": "m", "messages": MESSAGES, "temperature": 0.7, "max_tokens": 5},
        {
            "messages": [*MESSAGES, {"role": "assistant", "content": 'é "\\\n'}],
            "model": "m",
            "stop": ["a"],
            "n": 2,
        },
        {"messages": MESSAGES, "model": "m", "stream": True, "stream_options": {"include_usage": True}},
    ):
        raw = json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()
        assert upstream_body(read(raw), "m") == raw


SPELLINGS = [
    b'{"model":"m","messages":[{"role":"user","content":"\\u00e9\\/\\u0041"}],"temperature":1E0}',
    b' {"messages" : [ {"content":"\xc3\xa9/A","role":"user"} ],\n"temperature":1.00,"model":"\\u006d"}\n',
    b'{"temperature":10e-1,"messages":[{"role":"user","content":"\xc3\xa9/A"}],"model":"m"}',
]


@pytest.mark.parametrize("raw", SPELLINGS)
def test_no_spelling_of_the_clients_reaches_an_engine(raw) -> None:
    for model in ("m", "else"):
        body = upstream_body(read(raw), model)
        assert b"\\" not in body
        assert b" " not in body
        assert b"1.0" in body
        assert json.loads(body) == {
            "model": model,
            "messages": [{"role": "user", "content": "é/A"}],
            "temperature": 1.0,
        }


DUPLICATES = [
    b'{"model":"a","messages":[{"role":"user"}],"model":"b"}',
    b'{"model":"a","messages":[{"role":"user"}],"\\u006dodel":"b"}',
    b'{"model":"a","messages":[{"role":"user","content":"x","content":"y"}]}',
    b'{"model":"a","messages":[{"role":"user","content":"x"}],"stream":true,"stream":true}',
    b'{"model":"a","messages":[{"role":"user","content":"x"}],"stream":true,"messages":[{"role":"user"}]}',
    b'{"model":"a","messages":[{"role":"user"}],"vendor":{"x":1,"x":2}}',
]


@pytest.mark.parametrize("raw", DUPLICATES)
def test_a_member_given_twice_is_refused_and_named(raw) -> None:
    with pytest.raises(InvalidJson, match="twice") as refusal:
        read(raw)
    assert refusal.value.param in {"model", "content", "stream", "messages", "x"}


RENAMES = [
    {"model": "m", "messages": MESSAGES},
    {"messages": MESSAGES, "model": "m"},
    {"messages": [{"role": "user", "content": '"model":"m"'}], "model": "m", "user": '"model":"m"'},
    {"messages": [{"role": "user", "content": '\\"model":"m"'}], "model": "m", "stop": '"model":"m"'},
    {"user": '{"model":"m","x"', "model": "m", "messages": MESSAGES},
    {"messages": [{"role": "user", "content": [{"type": "text", "text": "x", "model": "m"}]}], "model": "m"},
    {"metadata": {"model": "m"}, "messages": MESSAGES, "model": "m"},
    {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"model": "m"}}}], **BODY},
    {"messages": MESSAGES, "model": "m", 'a"model': "m", "x": {"model": "m"}},
    {"messages": [{"role": "user", "content": "x" * LARGE_BYTES}], "user": '"model":"m"', "model": "m"},
    {"messages": MESSAGES, "model": "m", "stream": True},
    {"messages": MESSAGES, "stream_options": None, "model": "m", "stream": True},
]


@pytest.mark.parametrize("body", RENAMES, ids=range(len(RENAMES)))
@pytest.mark.parametrize("upstream", ["m", "other", 'with "quotes" \\ and é', "x" * 300])
def test_only_the_model_is_renamed(body, upstream) -> None:
    found = read(body, rules=PASSES_UNKNOWN)
    expected = {**body, "model": upstream}
    if body.get("stream"):
        expected["stream_options"] = {"include_usage": True}
    assert json.loads(upstream_body(found, upstream)) == expected
    assert json.loads(upstream_body(found, "m")) == {**expected, "model": "m"}


@pytest.mark.parametrize("stream", [None, False, "absent"])
def test_a_plain_call_is_left_as_it_is(stream) -> None:
    body = dict(BODY)
    if stream != "absent":
        body["stream"] = stream
    found = read(body)
    assert (found.stream, found.strip_usage) == (False, False)
    assert sent(body) == body


USAGE = [
    ("absent", {"include_usage": True}, True),
    (None, {"include_usage": True}, True),
    ({}, {"include_usage": True}, True),
    ({"include_usage": False}, {"include_usage": True}, True),
    ({"include_usage": None}, {"include_usage": True}, True),
    ({"include_usage": False, "vendor": [1]}, {"include_usage": True, "vendor": [1]}, True),
    ({"include_usage": True}, {"include_usage": True}, False),
    ({"include_usage": True, "vendor": [1]}, {"include_usage": True, "vendor": [1]}, False),
]


@pytest.mark.parametrize(("given_", "expected", "strip"), USAGE)
@pytest.mark.parametrize(
    "more", [{}, {"logprobs": True}, {"user": "x" * LARGE_BYTES}], ids=["plain", "more", "large"]
)
@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")], ids=["compact", "spaced"])
def test_usage_is_asked_for_on_every_stream_and_remembered_whose_wish_it_was(
    given_, expected, strip, more, separators
) -> None:
    body: dict[str, Any] = {**BODY, "stream": True, **more}
    if given_ != "absent":
        body["stream_options"] = given_
    found = read(json.dumps(body, separators=separators).encode())
    assert (found.stream, found.strip_usage) == (True, strip)
    assert json.loads(upstream_body(found, "m")) == {**body, "stream_options": expected}
    assert json.loads(upstream_body(found, "up")) == {**body, "stream_options": expected, "model": "up"}


def test_options_of_a_stream_without_a_stream_are_left_to_the_engine() -> None:
    body = {**BODY, "stream_options": {"include_usage": False}}
    assert sent(body) == body


def test_a_reader_can_be_used_again() -> None:
    """What one request adds is nowhere in the next."""
    reader = Reader(Rules())
    for _ in range(2):
        for body in ({**BODY, "stream": True}, BODY):
            found = reader.read(CHAT, json.dumps(body).encode(), "-")
            expected = {**body, "stream_options": {"include_usage": True}} if "stream" in body else body
            assert json.loads(found.body) == expected


@pytest.mark.parametrize("prompt", ["x", ["x", "y"], [1, 2], [[1], [2, 3]], [], "é" * 30_000])
def test_every_kind_of_prompt_is_taken(prompt) -> None:
    found = read({"model": "m", "prompt": prompt}, COMPLETIONS)
    assert json.loads(upstream_body(found, "up")) == {"model": "up", "prompt": prompt}


PROMPTS = [
    ([1, "x"], "prompt"),
    ([["x"]], "prompt[0]"),
    ([[1], []], "prompt[1]"),
    ([[1], "x"], "prompt"),
    ([{"prompt_embeds": "x"}], "prompt"),
    ([None], "prompt"),
    ([1.5], "prompt"),
    ([True], "prompt"),
    ([-1], "prompt"),
    ([2**31], "prompt"),
    ([[1], [2**31]], "prompt[1]"),
    (["x"] * 1025, "prompt"),
    ([[1]] * 1025, "prompt"),
]


@pytest.mark.parametrize(("prompt", "param"), PROMPTS, ids=lambda value: str(value)[:24])
def test_a_prompt_of_anything_else_is_refused(prompt, param) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        read({"model": "m", "prompt": prompt}, COMPLETIONS)
    assert refusal.value.param == param


def test_token_ids_are_one_prompt_however_many() -> None:
    ids = list(range(100_000))
    assert sent({"model": "m", "prompt": ids}, operation=COMPLETIONS)["prompt"] == ids


@pytest.mark.parametrize("size", [100, 30_000, LARGE_BYTES + 1])
def test_a_large_body_is_judged_by_the_same_rules(size) -> None:
    text = "x" * size
    message = {"role": "user", "content": text}
    assert sent({"model": "m", "messages": [message]})["messages"] == [message]
    for wrong, param in (
        ({"n": 0}, "n"),
        ({"n": 99}, "n"),
        ({"temperature": "x"}, "temperature"),
        ({"messages": [{"role": "nobody", "content": text}]}, "messages[0].role"),
        ({"chat_template": "x"}, "chat_template"),
        (
            {
                "messages": [
                    message,
                    {"role": "user", "content": [{"type": "image_url", "image_url": "http://x"}]},
                ]
            },
            None,
        ),
    ):
        with pytest.raises(InvalidRequest) as refusal:
            read({"model": "m", "messages": [message], **wrong})
        assert refusal.value.param == (param or "messages[1].content[0].image_url")


@settings(max_examples=150, deadline=None)
@given(name=st.sampled_from(sorted(KNOWN)), value=VALUES)
def test_any_value_of_any_field_is_taken_or_refused_by_name(name, value) -> None:
    body = {**BODY, name: value}
    found = read_or_refusal(json.dumps(body).encode())
    assert not isinstance(found, InvalidJson)
    if isinstance(found, InvalidRequest):
        assert found.param is not None
        assert found.param.split(".")[0].split("[")[0] == name
    else:
        expected = value
        if name == "stream_options" and found.strip_usage:
            expected = {**(value or {}), "include_usage": True}
        assert json.loads(upstream_body(found, found.model))[name] == expected
