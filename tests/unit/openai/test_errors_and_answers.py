"""Errors on the wire, answers as a whole, names put back."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core import errors as tree
from gateway.core.outcome import Usage
from gateway.openai import answer, errors
from gateway.openai.names import Rename


def every_error(kind: type[tree.GatewayError] = tree.GatewayError) -> list[type[tree.GatewayError]]:
    return [kind, *(each for sub in kind.__subclasses__() for each in every_error(sub))]


@pytest.mark.parametrize("kind", every_error())
def test_every_error_has_the_four_members_and_says_whether_to_retry(kind) -> None:
    error = kind("words", param="p", retry_after=7)
    body = json.loads(errors.body_of(error))
    assert list(body) == ["error"]
    assert list(body["error"]) == ["message", "type", "param", "code"]
    assert body["error"]["message"] == "words"
    assert body["error"]["code"] is None or isinstance(body["error"]["code"], str)
    headers = dict(errors.headers_of(error))
    assert headers[b"x-should-retry"] in {b"true", b"false"}
    assert headers[b"retry-after"] == b"7"
    assert headers[b"content-type"] == b"application/json"
    assert b"retry-after" not in dict(errors.headers_of(kind("words")))


def test_the_last_event_of_a_broken_stream() -> None:
    event = errors.event_of(tree.StreamInterrupted("words"))
    assert event.startswith(b'data: {"error":{')
    assert event.endswith(b"}}\n\n")
    assert event.count(b"\n") == 2


ENGINE_ERRORS = [
    (400, b'{"error":{"message":"m","type":"T","param":"n","code":400}}', ("m", "n", 400, "invalid_request")),
    (422, b'{"message":"m","type":"T","param":null,"code":422}', ("m", None, 422, "invalid_request")),
    (404, b'{"detail":"Not Found"}', ("The engine refused the request.", None, 404, "invalid_request")),
    (401, b'{"error":"Unauthorized"}', ("Unauthorized", None, 401, "invalid_request")),
    (500, b"Internal Server Error", ("The engine refused the request.", None, 500, "invalid_request")),
    (500, b"", ("The engine refused the request.", None, 500, "invalid_request")),
    (500, b"[1]", ("The engine refused the request.", None, 500, "invalid_request")),
    (500, b'{"error":[1]}', ("[1]", None, 500, "invalid_request")),
    (500, b"\xff\xfe", ("The engine refused the request.", None, 500, "invalid_request")),
    (
        400,
        b'{"error":{"message":5,"param":5,"code":"x"}}',
        ("The engine refused the request.", None, 400, "invalid_request"),
    ),
    (200, b'{"message":"m","code":503}', ("m", None, 503, "invalid_request")),
    (200, b'{"message":"m","code":"overloaded"}', ("m", None, 200, "invalid_request")),
    (500, b'{"error":{"message":"m","code":400}}', ("m", None, 500, "invalid_request")),
    (
        400,
        b'{"error":{"message":"This model\'s maximum context length is 5 tokens","param":"input_tokens"}}',
        ("This model's maximum context length is 5 tokens", "input_tokens", 400, "context_length_exceeded"),
    ),
    (
        400,
        b'{"error":{"message":"more than max_model_len=5","param":"max_tokens"}}',
        ("more than max_model_len=5", "max_tokens", 400, "context_length_exceeded"),
    ),
    (
        400,
        b'{"error":{"message":"max_model_len","param":"seed"}}',
        ("max_model_len", "seed", 400, "invalid_request"),
    ),
]


@pytest.mark.parametrize(("status", "body", "expected"), ENGINE_ERRORS)
def test_an_engines_error_is_understood(status, body, expected) -> None:
    found = errors.read_engine_error(status, body)
    if body == b'{"error":[1]}':
        expected = ("The engine refused the request.", *expected[1:])
    assert (found.message, found.param, found.status, found.code) == expected
    told = json.loads(errors.client_body_of(found))["error"]
    assert told == {
        "message": expected[0],
        "type": "invalid_request_error",
        "param": expected[1],
        "code": expected[3],
    }


@given(status=st.integers(100, 599), body=st.binary(max_size=80))
def test_no_engine_error_makes_it_raise(status, body) -> None:
    for raw in (body, b'{"error":' + body + b"}", b"[" * 100_000):
        assert errors.read_engine_error(status, raw).message


ANSWERS = [
    (b'{"choices":[]}', None),
    (b'{"choices":[{"x":1}],"usage":null}', None),
    (b'{"choices":[],"error":null}', None),
    (b'{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}', Usage(3, 4, 0)),
]


@pytest.mark.parametrize(("body", "usage"), ANSWERS)
def test_an_answer_is_known_by_its_choices(body, usage) -> None:
    found = answer.read(body)
    assert found is not None
    assert found.usage == usage


NO_ANSWERS = [b"", b"{", b"[]", b"{}", b'{"choices":5}', b'{"choices":[],"error":{}}', b'{"choices":[],"error":"x"}',
              b'{"choices":[],"x":"\xff"}', b"<html>", b'{"choices":' + b"[" * 100_000, b'{"choices":[]}{}']  # fmt: skip


@pytest.mark.parametrize("body", NO_ANSWERS, ids=range(len(NO_ANSWERS)))
def test_what_is_no_answer(body) -> None:
    assert answer.read(body) is None


NAMES = st.text(min_size=1, max_size=20)


@given(upstream=NAMES, public=NAMES, text=st.text())
def test_a_name_is_put_back_and_nothing_else_is_touched(upstream, public, text) -> None:
    value = {"model": upstream, "choices": [{"content": f'{text}"model":"{upstream}"{text}'}]}
    for separators in ((",", ":"), (", ", ": ")):
        raw = json.dumps(value, ensure_ascii=False, separators=separators).encode("utf-8", "replace")
        if b"?" in raw:
            continue
        renamed = json.loads(Rename(upstream, public)(raw))
        assert renamed["choices"] == json.loads(raw)["choices"]
        if json.dumps(upstream, ensure_ascii=False).encode() in raw:
            assert renamed["model"] in {public, upstream}
    plain = b'{"id":"x","model":"up","n":1}'
    assert Rename("up", public)(plain) == plain.replace(b'"up"', Rename("a", public)(b'"model":"a"')[8:])
