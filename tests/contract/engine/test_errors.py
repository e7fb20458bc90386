"""Refusals: status, type, param and the text where it carries no version."""

from typing import Any

import pytest

from tests.contract.engine.exchange import CHAT, COMPLETIONS, QUESTION, TOOLS, Engine

_LONG = [{"role": "user", "content": "x " * 30_000}]
_NEAR = [{"role": "user", "content": "hello " * 1_500}]
_IMAGE = [
    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]}
]
_BAD_SCHEMA = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "nonsense"}}}
_NOBODY = {"type": "function", "function": {"name": "nobody"}}

CHAT_REFUSALS: dict[str, tuple[dict[str, Any], str, str | None, str]] = {
    "negative temperature": ({"temperature": -1.0}, "BadRequestError", "temperature", "must be non-negative, got -1.0"),
    "top_p too large": ({"top_p": 2.0}, "BadRequestError", "top_p", "top_p must be in (0, 1], got 2.0."),
    "n of zero": ({"n": 0}, "BadRequestError", None, "n must be at least 1, got 0."),
    "greedy n": ({"n": 2}, "BadRequestError", None, "n must be 1 when using greedy sampling, got 2."),
    "no tokens": ({"max_tokens": 0}, "BadRequestError", "max_tokens", "max_tokens must be at least 1, got 0."),
    "negative tokens": ({"max_tokens": -1}, "BadRequestError", "max_tokens", "at least 1, got -1."),
    "too many tokens": (
        {"max_tokens": 5000}, "BadRequestError", "max_tokens",
        ("max_tokens=5000 cannot be greater than max_model_len=1024. Please request fewer output tokens. "
        "(parameter=max_tokens, value=5000)"),
    ),
    "prompt far too long": ({"messages": _LONG}, "BadRequestError", "input_text", "maximum context length is 1024 tokens"),
    "prompt too long": ({"messages": _NEAR}, "BadRequestError", "input_tokens", "contains at least 1025 input tokens"),
    "streamed prompt too long": ({"messages": _LONG, "stream": True}, "BadRequestError", "input_text", "maximum context"),
    "no messages": ({"messages": []}, "BadRequestError", None, "Cannot apply chat template to an empty conversation."),
    "stream options without stream": (
        {"stream_options": {"include_usage": True}}, "BadRequestError", "stream_options",
        "Stream options can only be defined when `stream=True`. (parameter=stream_options)",
    ),
    "top_logprobs without logprobs": ({"top_logprobs": 2}, "BadRequestError", "top_logprobs", "`logprobs` must be set"),
    "too many logprobs": (
        {"logprobs": True, "top_logprobs": 50}, "BadRequestError", "logprobs",
        "Requested sample logprobs of 50, which is greater than max allowed: 20",
    ),
    "bad schema": ({"response_format": _BAD_SCHEMA}, "BadRequestError", None, "Grammar error: Invalid type: nonsense"),
    "image": ({"messages": _IMAGE}, "BadRequestError", None, "tiny is not a multimodal model"),
    "tool choice without tools": ({"tool_choice": "required"}, "BadRequestError", "tool_choice", "`tools` must be set"),
    "unknown tool": ({"tools": TOOLS, "tool_choice": _NOBODY}, "BadRequestError", "tool_choice", "does not match any"),
    "no tools": ({"tools": []}, "BadRequestError", "tools", "`tools` must not be an empty array."),
    "temperature not a number": (
        {"temperature": "hot"}, "Bad Request", "body.temperature",
        ("1 validation error:\n  {'type': 'float_parsing', 'loc': 'body.temperature', 'msg': 'Input should be a valid "
        "number, unable to parse string as a number', 'input': 'hot'}"),
    ),
    "tokens not a number": ({"max_tokens": "x"}, "Bad Request", "body.max_tokens", "{'type': 'int_parsing', 'loc'"),
    "messages not a list": ({"messages": "x"}, "Bad Request", "body.messages", "{'type': 'list_type', 'loc'"),
    "stream not a boolean": ({"stream": "maybe"}, "Bad Request", "body.stream", "{'type': 'bool_parsing', 'loc'"),
    "two wrong types": ({"n": "x", "temperature": "y"}, "Bad Request", "body.n", "2 validation errors:\n"),
    "fraction of a token": ({"max_tokens": 1.5}, "Bad Request", "body.max_tokens", "{'type': 'int_from_float', 'loc'"),
}  # fmt: skip


@pytest.mark.parametrize("case", CHAT_REFUSALS)
def test_a_chat_that_is_refused(engine: Engine, case: str):
    fields, kind, param, text = CHAT_REFUSALS[case]
    reply = engine.chat(**{"max_tokens": 5, **fields})
    assert reply.status == 400
    assert list(reply.json) == ["error"]
    error = reply.json["error"]
    assert list(error) == ["message", "type", "param", "code"]
    assert (error["type"], error["param"], error["code"]) == (kind, param, 400)
    assert text in error["message"]


@pytest.mark.parametrize("path", [CHAT, COMPLETIONS])
def test_an_unknown_model_tells_the_known_ones(engine: Engine, path: str):
    reply = engine.ask("POST", path, {"model": "nope", "messages": QUESTION, "prompt": "x"})
    message = "The model `nope` does not exist. Valid aliases: tiny, tiny-alias."
    assert reply.status == 404
    assert reply.json == {
        "error": {"message": message, "type": "NotFoundError", "param": "model", "code": 404}
    }


@pytest.mark.parametrize("fields", [{}, {"prompt": ""}])
def test_a_completion_without_prompt(engine: Engine, fields: dict[str, object]):
    reply = engine.ask("POST", COMPLETIONS, {"model": engine.model, **fields})
    assert reply.status == 400
    assert reply.json["error"]["param"] == "prompt"
    assert reply.json["error"]["message"].startswith("Either prompt or prompt_embeds must be provided")


def test_an_empty_list_of_prompts_is_refused(engine: Engine):
    reply = engine.complete(prompt=[])
    assert (reply.status, reply.json["error"]["code"]) == (400, 400)


BODIES: dict[str, tuple[bytes, str, str]] = {
    "malformed": (
        b'{"model": nope}',
        "body.10",
        "{'type': 'json_invalid', 'loc': 'body.10', 'msg': 'JSON decode error'",
    ),
    "cut off": (b'{"model": "tiny", "messages": [', "body.31", "JSON decode error"),
    "empty": (b"", "body", "{'type': 'missing', 'loc': 'body', 'msg': 'Field required', 'input': 'None'}"),
    "no messages": (b'{"model": "tiny"}', "body.messages", "{'type': 'missing', 'loc': 'body.messages'"),
    "a list": (
        b"[]",
        "body",
        "{'type': 'model_attributes_type', 'loc': 'body', 'msg': 'Input should be a valid dict",
    ),
    "a string": (b'"x"', "body", "'input': 'x'}"),
}


@pytest.mark.parametrize("case", BODIES)
def test_a_body_that_cannot_be_read(engine: Engine, case: str):
    body, param, text = BODIES[case]
    reply = engine.ask("POST", CHAT, body)
    error = reply.json["error"]
    assert (reply.status, error["type"], error["param"]) == (400, "Bad Request", param)
    assert text in error["message"]


def test_a_body_that_is_not_utf8_is_answered_in_fastapis_shape(engine: Engine):
    reply = engine.ask("POST", CHAT, b'{"model":"tiny","messages":"\xff"}')
    assert (reply.status, reply.json) == (400, {"detail": "There was an error parsing the body"})


@pytest.mark.parametrize("content_type", ["text/plain", ""])
def test_a_body_that_does_not_say_that_it_is_json(engine: Engine, content_type: str):
    reply = engine.ask("POST", CHAT, {"messages": QUESTION}, headers={"content-type": content_type})
    message = "1 validation error:\n  Unsupported Media Type: Only 'application/json' is allowed"
    assert reply.status == 400
    assert reply.json == {"error": {"message": message, "type": "Bad Request", "param": None, "code": 400}}


def test_a_charset_does_no_harm(engine: Engine):
    headers = {"content-type": "application/json; charset=utf-8"}
    assert engine.chat(headers, max_tokens=1).status == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/nope", 404, None),
        ("GET", "//health", 404, None),
        ("GET", "/v1/models/tiny", 404, None),
        ("GET", CHAT, 405, "POST"),
        ("OPTIONS", CHAT, 405, "POST"),
        ("POST", "/health", 405, "GET"),
    ],
)
def test_routes_that_are_not_there(engine: Engine, method: str, path: str, status: int, allow: str | None):
    reply = engine.ask(method, path)
    assert reply.status == status
    assert reply.json == {"detail": "Not Found" if status == 404 else "Method Not Allowed"}
    assert reply.header("allow") == allow


def test_a_head_request_is_told_the_length_of_what_it_is_not_sent(engine: Engine):
    reply = engine.ask("HEAD", "/health")
    assert (reply.status, reply.header("allow"), reply.header("content-length")) == (405, "GET", "31")


def test_a_slash_too_many_is_redirected(engine: Engine):
    reply = engine.ask("POST", f"{CHAT}/", {"messages": QUESTION})
    assert reply.status == 307
    assert reply.header("location") == f"http://engine{CHAT}"


@pytest.mark.parametrize("path", ["/v1/models", CHAT, "/v1/nowhere", "/v1/models/x"])
@pytest.mark.parametrize("key", ["", "Bearer wrong", "Basic x"])
def test_without_the_key_nothing_under_v1_is_told(engine: Engine, path: str, key: str):
    reply = engine.ask("GET", path, with_key=False, headers={"authorization": key})
    assert (reply.status, reply.body) == (401, b'{"error":"Unauthorized"}')
    assert reply.names == ["date", "server", "content-length", "content-type", "connection"]


@pytest.mark.parametrize("path", ["/health", "/metrics", "/version", "/ping", "/load"])
def test_these_need_no_key(engine: Engine, path: str):
    assert engine.ask("GET", path, with_key=False).status == 200
