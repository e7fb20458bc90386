"""Request bodies: one reading of the bytes, and an engine gets what was read."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.errors import InvalidJson, InvalidRequest
from gateway.openai import envelope
from gateway.openai.operations import CHAT, COMPLETIONS

MESSAGES = [{"role": "user", "content": "x"}]


def read(body: bytes | dict[str, Any], operation=CHAT) -> envelope.Envelope:
    return envelope.read(operation, body if isinstance(body, bytes) else json.dumps(body).encode())


def read_or_refusal(body: bytes) -> envelope.Envelope | InvalidRequest:
    """What reading gives or raises; anything else it raises is a failure of the test."""
    try:
        return envelope.read(CHAT, body)
    except InvalidRequest as refusal:
        return refusal


def sent(body: bytes | dict[str, Any], model: str = "m") -> Any:
    return json.loads(envelope.upstream_body(read(body), model))


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
KNOWN = frozenset(envelope.ChatFields.__struct_fields__)


@settings(max_examples=80, deadline=None)
@given(
    members=st.dictionaries(st.text().filter(lambda name: name not in KNOWN), VALUES, max_size=4),
    ascii_=st.booleans(),
)
def test_members_we_do_not_know_go_through_unchanged(members, ascii_) -> None:
    body = {**members, "model": "m", "messages": MESSAGES}
    raw = json.dumps(body, ensure_ascii=ascii_).encode("utf-8", "surrogatepass")
    try:
        raw.decode()
    except UnicodeDecodeError:
        return
    assert json.loads(envelope.upstream_body(envelope.read(CHAT, raw), "other")) == {**body, "model": "other"}


def test_the_raw_bytes_of_members_are_kept() -> None:
    raw = b'{"x":1.50,"messages":[{"role":"user","content":"\\u00e9", "n" : 1e2}] , "model":"m"}'
    body = envelope.upstream_body(read(raw), "up")
    assert body == b'{"x":1.50,"messages":[{"role":"user","content":"\\u00e9", "n" : 1e2}],"model":"up"}'
    assert envelope.upstream_body(read(raw), "m").endswith(b'"model":"m"}')


DUPLICATES = [
    b'{"model":"a","messages":[{"role":"u"}],"model":"b"}',
    b'{"model":"a","messages":[{"role":"u"}],"\\u006dodel":"b"}',
    b'{"\\u006d\\u006fdel":"a","messages":[{"role":"u"}],"model":"b"}',
]


@pytest.mark.parametrize("raw", DUPLICATES)
def test_of_a_member_given_twice_gateway_and_engine_read_the_same_one(raw) -> None:
    found = read(raw)
    for model in (found.model, "else"):
        body = envelope.upstream_body(found, model)
        assert body.count(b"model") == 1
        assert json.loads(body)["model"] == model
    assert found.model == "b"


def test_a_bad_value_is_not_hidden_by_a_good_one_behind_it() -> None:
    with pytest.raises(InvalidRequest):
        read(b'{"model":5,"messages":[{"role":"u"}],"model":"b"}')


@pytest.mark.parametrize("stream", [None, False, "absent"])
def test_a_plain_call_is_left_as_it_is(stream) -> None:
    body: dict[str, Any] = {"model": "m", "messages": MESSAGES}
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
def test_usage_is_asked_for_on_every_stream_and_remembered_whose_wish_it_was(given_, expected, strip) -> None:
    body: dict[str, Any] = {"model": "m", "messages": MESSAGES, "stream": True}
    if given_ != "absent":
        body["stream_options"] = given_
    found = read(body)
    assert (found.stream, found.strip_usage) == (True, strip)
    assert sent(body)["stream_options"] == expected


@pytest.mark.parametrize(
    "raw", [b"", b" ", b"{", b'{"model":', b"nul", b"\xef\xbb\xbf{}", b'{"a":"\xff"}', b"{}x"]
)
def test_what_is_not_json(raw) -> None:
    with pytest.raises((InvalidJson, InvalidRequest)):
        read(raw)


@settings(max_examples=150, deadline=None)
@given(raw=st.binary(max_size=60))
def test_no_bytes_make_it_raise_anything_else(raw) -> None:
    for body in (raw, b'{"model":"m","messages":[{"role":"u"}],"x":' + raw + b"}"):
        found = read_or_refusal(body)
        if isinstance(found, InvalidRequest):
            assert found.message
        else:
            json.loads(envelope.upstream_body(found, "up"))


@settings(max_examples=150, deadline=None)
@given(name=st.sampled_from(sorted(KNOWN)), value=VALUES)
def test_any_value_of_any_field_is_taken_or_refused_by_name(name, value) -> None:
    body = {"model": "m", "messages": MESSAGES, name: value}
    found = read_or_refusal(json.dumps(body).encode())
    assert not isinstance(found, InvalidJson)
    if isinstance(found, InvalidRequest):
        assert found.param is not None
        assert found.param.split(".")[0].split("[")[0] == name
    else:
        assert json.loads(envelope.upstream_body(found, found.model))[name] == (
            value
            if name != "stream_options" or not found.strip_usage
            else {**(value or {}), "include_usage": True}
        )


@pytest.mark.parametrize("depth", [1000, 100_000])
@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_deep_nesting_is_refused_and_not_a_crash(depth, opening, closing) -> None:
    nested = opening * depth + (b"1" if b":" in opening else b"") + closing * depth
    raw = b'{"model":"m","messages":[{"role":"u"}],"x":' + nested + b"}"
    with pytest.raises(InvalidJson, match="deeply"):
        read(raw)


@pytest.mark.parametrize("prompt", ["x", ["x", "y"], [1, 2], [[1], [2]], []])
def test_every_kind_of_prompt_is_taken(prompt) -> None:
    found = read({"model": "m", "prompt": prompt}, COMPLETIONS)
    assert json.loads(envelope.upstream_body(found, "m"))["prompt"] == prompt
