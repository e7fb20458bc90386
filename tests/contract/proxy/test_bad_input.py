"""What is refused: exact status, body and headers, and nothing of it reaches an engine."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from config.schema import Config
from engines.simulated import SimulatedEngine
from gateway.auth.keys import KeyFile
from tests.support.aside import HeldAside
from tests.support.gateway import Driver, RunningGateway, endpoint, running, until
from tests.support.peer import Ending, Response, request

CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"
BODY: dict[str, Any] = {"model": "model", "messages": [{"role": "user", "content": "Say it."}]}
TEXT: dict[str, Any] = {"model": "model", "prompt": "Once upon"}
JSON_TYPE = ("content-type", "application/json")


@pytest.fixture
def keys(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "data" / "keys.json", tmp_path / "data" / "pepper", lambda: 1.0)


@pytest.fixture
async def locked(
    driver: Driver, engine: SimulatedEngine, tmp_path: Path, keys: KeyFile
) -> AsyncIterator[RunningGateway]:
    """A gateway that asks for keys."""
    keys.create("first", models=None)
    async with running(Config(), tmp_path / "data", driver, endpoint(engine.address)) as running_:
        yield running_


def check(
    answer: Response,
    status: int,
    code: str | None,
    *,
    param: str | None = None,
    message: str | None = None,
    kind: str = "invalid_request_error",
    retry: str = "false",
) -> None:
    """Insist on the whole of an error answer."""
    assert answer.status == status, answer.raw
    assert answer.is_complete
    assert answer.header("content-type") == "application/json"
    assert answer.header("x-should-retry") == retry
    assert answer.header("x-request-id")
    body = answer.json()
    assert list(body) == ["error"]
    error = body["error"]
    assert list(error) == ["message", "type", "param", "code"]
    assert (error["type"], error["code"], error["param"]) == (kind, code, param)
    assert isinstance(error["message"], str)
    if message is not None:
        assert message in error["message"]


async def refused(gateway: RunningGateway, raw: bytes) -> Response:
    """Ask, twice on one connection: a refusal of a small request does not cost the connection."""
    peer = await gateway.connect()
    first = await peer.ask(raw)
    second = await peer.ask(raw)
    assert (second.status, second.body) == (first.status, first.body)
    return first


NOT_JSON = {
    "empty": (b"", "empty"),
    "blank": (b"  \n", "empty"),
    "cut": (b'{"model": "model", "messages": [', "not valid JSON"),
    "single quotes": (b"{'model': 'model'}", "not valid JSON"),
    "junk behind": (json.dumps(BODY).encode() + b"}", "not valid JSON"),
    "two objects": (json.dumps(BODY).encode() * 2, "not valid JSON"),
    "comment": (b'{"model": "model" /* x */}', "not valid JSON"),
    "not UTF-8": (
        b'{"model": "model", "messages": [{"role": "user", "content": "\xff"}]}',
        "not UTF-8 (byte 61)",
    ),
    "latin-1": ('{"model": "model", "prompt": "é"}'.encode("latin-1"), "not UTF-8"),
    "UTF-16": (json.dumps(BODY).encode("utf-16"), "not UTF-8"),
    "byte order mark": (b"\xef\xbb\xbf" + json.dumps(BODY).encode(), "byte order mark"),
    "NaN": (
        b'{"model": "model", "messages": [{"role": "user", "content": "x"}], "x": NaN}',
        "not valid JSON",
    ),
    "Infinity": (b'{"model": "model", "messages": [{"role": "u"}], "x": -Infinity}', "not valid JSON"),
    "control character": (b'{"model": "mo\ndel", "messages": [{"role": "u"}]}', "not valid JSON"),
    "multipart": (
        b'--x\r\ncontent-disposition: form-data; name="model"\r\n\r\nmodel\r\n--x--',
        "not valid JSON",
    ),
    "deep": (b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", ""),
}


@pytest.mark.parametrize(("raw", "why"), NOT_JSON.values(), ids=NOT_JSON.keys())
async def test_what_is_not_json_is_told_so(gateway, engine, raw, why) -> None:
    answer = await refused(gateway, request(raw))
    check(answer, 400, "invalid_json", message=why)
    assert len(engine.log) == 0
    assert {(end.outcome.value, end.status, end.code, end.model, end.attempts) for end in gateway.ends} == {
        ("client_error", 400, "invalid_json", None, 0)
    }


@dataclass(frozen=True)
class Wrong:
    """A body with one thing wrong with it."""

    body: Any
    param: str | None
    message: str
    path: str = CHAT


def chat(**changes: Any) -> dict[str, Any]:
    return {**BODY, **changes}


def text(**changes: Any) -> dict[str, Any]:
    return {**TEXT, **changes}


def without(body: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in body.items() if key != name}


WRONG_FIELDS = [
    Wrong([], None, "Invalid request body: expected 'object', got 'array'"),
    Wrong("text", None, "Invalid request body: expected 'object', got 'str'"),
    Wrong(None, None, "Invalid request body: expected 'object', got 'null'"),
    Wrong(without(BODY, "model"), "model", "Missing required field: model."),
    Wrong(without(BODY, "messages"), "messages", "Missing required field: messages."),
    Wrong(without(TEXT, "prompt"), "prompt", "Missing required field: prompt.", COMPLETIONS),
    Wrong(chat(model=5), "model", "expected 'str', got 'int'"),
    Wrong(chat(model=None), "model", "expected 'str', got 'null'"),
    Wrong(chat(model=""), "model", "length >= 1"),
    Wrong(chat(model="m" * 257), "model", "length <= 256"),
    Wrong(chat(messages="hello"), "messages", "expected 'array', got 'str'"),
    Wrong(chat(messages=[]), "messages", "length >= 1"),
    Wrong(chat(messages=["hello"]), "messages[0]", "expected 'object', got 'str'"),
    Wrong(chat(messages=[{"content": "x"}]), "messages[0].role", "Missing required field: messages[0].role."),
    Wrong(chat(messages=[*BODY["messages"], {"role": 1}]), "messages[1].role", "expected 'str', got 'int'"),
    Wrong(chat(stream="true"), "stream", "expected 'bool | null', got 'str'"),
    Wrong(chat(stream=1), "stream", "expected 'bool | null', got 'int'"),
    Wrong(chat(stream=True, stream_options=[]), "stream_options", "expected 'object | null', got 'array'"),
    Wrong(
        chat(stream=True, stream_options={"include_usage": 1}),
        "stream_options.include_usage",
        "expected 'bool | null', got 'int'",
    ),
    Wrong(chat(n="2"), "n", "expected 'int | null', got 'str'"),
    Wrong(chat(n=0), "n", "expected 'int' >= 1"),
    Wrong(chat(n=1.5), "n", "expected 'int | null', got 'float'"),
    Wrong(chat(max_tokens="5"), "max_tokens", "expected 'int | null', got 'str'"),
    Wrong(chat(max_tokens=-1), "max_tokens", "expected 'int' >= 0"),
    Wrong(chat(max_completion_tokens=0), "max_completion_tokens", "expected 'int' >= 1"),
    Wrong(chat(temperature="hot"), "temperature", "expected 'float | null', got 'str'"),
    Wrong(chat(temperature=True), "temperature", "expected 'float | null', got 'bool'"),
    Wrong(chat(top_p=[]), "top_p", "expected 'float | null', got 'array'"),
    Wrong(chat(presence_penalty={}), "presence_penalty", "got 'object'"),
    Wrong(chat(frequency_penalty="x"), "frequency_penalty", "got 'str'"),
    Wrong(chat(seed="x"), "seed", "expected 'int | null', got 'str'"),
    Wrong(chat(stop=5), "stop", "expected 'str | array | null', got 'int'"),
    Wrong(chat(stop=["a", 5]), "stop[1]", "expected 'str', got 'int'"),
    Wrong(chat(user=5), "user", "expected 'str | null', got 'int'"),
    Wrong(chat(logit_bias=[1]), "logit_bias", "expected 'object | null', got 'array'"),
    Wrong(chat(logit_bias={"5": "x"}), "logit_bias[...]", "expected 'float', got 'str'"),
    Wrong(chat(logprobs=5), "logprobs", "expected 'bool | null', got 'int'"),
    Wrong(chat(top_logprobs=-1), "top_logprobs", "expected 'int' >= 0"),
    Wrong(chat(tools={}), "tools", "expected 'array | null', got 'object'"),
    Wrong(chat(tools=["x"]), "tools[0]", "expected 'object', got 'str'"),
    Wrong(chat(tool_choice=5), "tool_choice", "expected 'str | object | null', got 'int'"),
    Wrong(chat(parallel_tool_calls="x"), "parallel_tool_calls", "expected 'bool | null', got 'str'"),
    Wrong(chat(response_format="json"), "response_format", "expected 'object | null', got 'str'"),
    Wrong(text(prompt=5), "prompt", "expected 'str | array', got 'int'", COMPLETIONS),
    Wrong(text(prompt=None), "prompt", "expected 'str | array', got 'null'", COMPLETIONS),
    Wrong(text(echo="x"), "echo", "expected 'bool | null', got 'str'", COMPLETIONS),
    Wrong(text(suffix=5), "suffix", "expected 'str | null', got 'int'", COMPLETIONS),
    Wrong(text(logprobs=True), "logprobs", "expected 'int | null', got 'bool'", COMPLETIONS),
    Wrong(text(best_of=0), "best_of", "expected 'int' >= 1", COMPLETIONS),
]


@pytest.mark.parametrize("wrong", WRONG_FIELDS, ids=lambda wrong: f"{wrong.param}:{wrong.message[:24]}")
async def test_a_field_of_the_wrong_type_is_named(gateway, engine, wrong) -> None:
    answer = await refused(gateway, request(json.dumps(wrong.body).encode(), path=wrong.path))
    check(answer, 400, "invalid_request", param=wrong.param, message=wrong.message)
    assert len(engine.log) == 0


async def test_nulls_go_to_the_engine_and_fields_we_do_not_know_are_left_out_and_told_of(
    gateway, engine
) -> None:
    peer = await gateway.connect()
    body = chat(n=None, stop=None, stream=None, stream_options=None, logprobs=None, top_k=5)
    answer = await peer.ask(request({**body, "vendor": {"x": [None]}, "x\r\ny: z": 1, "other-1.x": 2}))
    assert answer.status == 200
    assert answer.header("x-cascadia-stripped") == "other-1.x, vendor"
    assert json.loads(engine.log[0].body) == {**body, "model": "simulated"}
    plain = await peer.ask(request(body))
    assert plain.header("x-cascadia-stripped") is None


async def test_an_unknown_model_is_not_found(gateway, engine) -> None:
    answer = await refused(gateway, request(chat(model="simulated")))
    check(
        answer,
        404,
        "model_not_found",
        param="model",
        message="The model `simulated` does not exist or you do not",
    )
    assert len(engine.log) == 0


HEADERS = {
    "wrong type": ([("content-type", "text/plain")], 415, "unsupported_media_type"),
    "form": ([("content-type", "application/x-www-form-urlencoded")], 415, "unsupported_media_type"),
    "gzip": ([JSON_TYPE, ("content-encoding", "gzip")], 415, "unsupported_media_type"),
    "br": ([JSON_TYPE, ("content-encoding", "br")], 415, "unsupported_media_type"),
    "two credentials": (
        [JSON_TYPE, ("authorization", "Bearer a"), ("authorization", "Bearer a")],
        400,
        "invalid_request",
    ),
    "basic": ([JSON_TYPE, ("authorization", "Basic YTpi")], 401, "invalid_api_key"),
    "bearer of nothing": ([JSON_TYPE, ("authorization", "Bearer ")], 401, "invalid_api_key"),
    "no scheme": ([JSON_TYPE, ("authorization", "gw_local_abc")], 401, "invalid_api_key"),
}


@pytest.mark.parametrize(("headers", "status", "code"), HEADERS.values(), ids=HEADERS.keys())
async def test_a_header_that_cannot_be_right_is_refused(gateway, engine, headers, status, code) -> None:
    answer = await refused(gateway, request(BODY, headers=[*headers, ("x-request-id", "asked-by-me")]))
    check(answer, status, code)
    assert answer.header("x-request-id") == "asked-by-me"
    assert len(engine.log) == 0


GOOD_TYPES = ["application/json", "application/json; charset=utf-8", "Application/JSON ;charset=UTF-8"]


@pytest.mark.parametrize("headers", [[("content-type", value)] for value in GOOD_TYPES] + [[]])
async def test_json_is_known_by_its_type_or_by_none(gateway, headers) -> None:
    peer = await gateway.connect()
    answer = await peer.ask(request(BODY, headers=[*headers, ("content-encoding", "Identity")]))
    assert answer.status == 200


ROUTES = {
    "get": ("GET", CHAT, 405, "method_not_allowed"),
    "put": ("PUT", CHAT, 405, "method_not_allowed"),
    "delete": ("DELETE", COMPLETIONS, 405, "method_not_allowed"),
    "options": ("OPTIONS", CHAT, 405, "method_not_allowed"),
    "post to a list": ("POST", "/v1/models", 405, "method_not_allowed"),
    "unknown": ("POST", "/v1/embeddings", 404, "not_found"),
    "root": ("POST", "/", 404, "not_found"),
    "slash behind": ("POST", CHAT + "/", 404, "not_found"),
    "two slashes": ("POST", "/" + CHAT, 404, "not_found"),
    "upper case": ("POST", CHAT.upper(), 404, "not_found"),
    "dots": ("POST", "/v1/../v1/chat/completions", 404, "not_found"),
    "semicolon": ("POST", CHAT + ";x=1", 404, "not_found"),
    "no version": ("POST", "/chat/completions", 404, "not_found"),
}


@pytest.mark.parametrize(("method", "path", "status", "code"), ROUTES.values(), ids=ROUTES.keys())
async def test_a_wrong_path_or_method_is_told_so(gateway, engine, method, path, status, code) -> None:
    answer = await refused(gateway, request(BODY, method=method, path=path))
    check(answer, status, code)
    if status == 405:
        assert answer.header("allow") in {"POST", "GET"}
    assert len(engine.log) == 0


@pytest.mark.parametrize("path", ["/v1/chat%2fcompletions", "/v1/chat/completion%73", "/v1%2Fcompletions"])
async def test_an_escaped_path_is_another_path(gateway, engine, path) -> None:
    answer = await refused(gateway, request(BODY, path=path))
    assert answer.status in {404, 405}
    assert len(engine.log) == 0


async def test_keys_open_and_everything_else_reads_the_same(locked, engine, keys) -> None:
    good = keys.create("good").text
    revoked = keys.create("revoked").text
    await locked.parts.identity.directory.refresh()
    peer = await locked.connect()
    assert (
        await peer.ask(request(BODY, more_headers=[("authorization", f"Bearer {revoked}")]))
    ).status == 200
    keys.revoke("revoked")
    assert await locked.parts.identity.directory.refresh()
    changed = good[:-10] + ("a" if good[-10] != "a" else "b") + good[-9:]
    bodies = set()
    for token in (revoked, changed, good + "x", good[:-1], "sk-x", "é", "x" * 10_000):
        answer = await peer.ask(request(BODY, more_headers=[("authorization", f"Bearer {token}")]))
        check(answer, 401, "invalid_api_key")
        bodies.add(answer.body)
    assert len(bodies) == 1
    absent = await peer.ask(request(BODY))
    check(absent, 401, "invalid_api_key", message="No API key was given")
    assert len(engine.log) == 1
    for scheme in ("Bearer", "bearer", "BEARER"):
        assert (
            await peer.ask(request(BODY, more_headers=[("authorization", f"{scheme} {good}")]))
        ).status == 200


async def test_a_key_for_other_models_sees_no_more_than_an_unknown_model(locked, engine, keys) -> None:
    other = keys.create("other", models=("other-model",)).text
    await locked.parts.identity.directory.refresh()
    peer = await locked.connect()
    asked = [("authorization", f"Bearer {other}")]
    forbidden = await peer.ask(request(BODY, more_headers=asked))
    check(forbidden, 404, "model_not_found", param="model")
    unknown = await peer.ask(request(chat(model="nomodel"), more_headers=asked))
    assert forbidden.body.replace(b"`model`", b"`nomodel`") == unknown.body
    assert len(engine.log) == 0


SMALL_CAP = Config.model_validate({"auth": {"mode": "anonymous"}, "server": {"max_body_bytes": 65_536}})


@pytest.mark.parametrize("chunk_bytes", [None, 8192], ids=["announced", "chunked"])
async def test_a_body_at_the_cap_passes_and_one_byte_more_does_not(
    driver, engine, tmp_path, chunk_bytes
) -> None:
    filler = 65_536 - len(json.dumps(chat(x="")))
    async with running(SMALL_CAP, tmp_path, driver, endpoint(engine.address)) as gateway:
        peer = await gateway.connect()
        fits = request(chat(x="a" * filler), chunk_bytes=chunk_bytes)
        assert (await peer.ask(fits)).status == 200
        await peer.send(request(chat(x="a" * (filler + 1)), chunk_bytes=chunk_bytes))
        check(await peer.response(), 413, "request_too_large", message="65536 bytes")
        assert len(engine.log) == 1
        await gateway.settled()


@pytest.mark.parametrize("is_announced", [True, False], ids=["announced", "chunked"])
async def test_100_megabytes_are_refused_unread_and_the_client_gets_the_answer(
    gateway, engine, is_announced
) -> None:
    size, piece = 100_000_000, b"x" * 1_000_000
    peer = await gateway.connect()
    head = request(b"").partition(b"content-length")[0]
    if is_announced:
        await peer.send(head + b"content-length: %d\r\n\r\n" % size)
    else:
        await peer.send(head + b"transfer-encoding: chunked\r\n\r\n")
        piece = b"%x\r\n%b\r\n" % (len(piece), piece)
    for _ in range(100):  # a client that does not look for an answer before it has sent everything
        await peer.send(piece)
    if not is_announced:
        await peer.send(b"0\r\n\r\n")
    answer = await peer.response()
    check(answer, 413, "request_too_large")
    assert answer.ending is Ending.OPEN
    if gateway.driver is Driver.EDGE:
        assert answer.header("connection") == "close"
        assert await peer.end() is Ending.FIN
    assert len(engine.log) == 0
    await gateway.settled()


async def test_a_refused_chunked_stream_is_not_kept(gateway) -> None:
    peer = await gateway.connect()
    head = request(b"").partition(b"content-length")[0] + b"transfer-encoding: chunked\r\n\r\n"
    await peer.send(head)
    piece = b"%x\r\n%b\r\n" % (65_536, b" " * 65_536)
    most = 0
    for _ in range(160):  # 10 MiB; the cap is 8
        await peer.send(piece)
        most = max(most, held_bytes(gateway))
    check(await peer.response(), 413, "request_too_large")
    assert most <= 8 * 1024 * 1024 + 2 * 65_536
    assert held_bytes(gateway) == 0


def held_bytes(gateway: RunningGateway) -> int:
    """Bytes of request bodies that the edge holds; for the plain driver, none that can be seen from here."""
    held = 0
    for connection in gateway.connections:
        call = getattr(connection, "_call", None)
        held += sum(map(len, call.body)) if call is not None else 0
    return held


# --- what readers of JSON read differently, or not at all

AMBIGUOUS = {
    "model twice": (b'{"model":"model","messages":[{"role":"user"}],"model":"other"}', "model", "twice"),
    "model twice, escaped": (
        b'{"model":"model","messages":[{"role":"user"}],"\\u006dodel":"other"}',
        "model",
        "twice",
    ),
    "content twice": (
        b'{"model":"model","messages":[{"role":"user","content":"a","content":"b"}]}',
        "content",
        "twice",
    ),
    "lone surrogate": (
        b'{"model":"model","messages":[{"role":"user","content":"\\ud800"}]}',
        None,
        "not valid JSON",
    ),
    "1e400": (b'{"model":"model","messages":[{"role":"user"}],"temperature":1e400}', None, "out of range"),
    "beyond 2**53": (b'{"model":"model","messages":[{"role":"user"}],"x":9007199254740993}', None, "2**53"),
    "5,000 digits": (
        b'{"model":"model","messages":[{"role":"user"}],"x":%b}' % (b"9" * 5000),
        None,
        "out of range",
    ),
    "33 deep": (
        b'{"model":"model","messages":[{"role":"user"}],"x":%b}' % (b"[" * 32 + b"]" * 32),
        None,
        "deeply",
    ),
    "10,001 keys": (json.dumps({**BODY, **{f"k{i}": 0 for i in range(10_000)}}).encode(), None, "10000 keys"),
    "a million arrays": (
        b'{"model":"model","messages":[{"role":"user"}],"x":[%b[]]}' % (b"[]," * 1_000_000),
        None,
        "arrays and objects",
    ),
}


@pytest.mark.parametrize(("raw", "param", "why"), AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
async def test_what_engines_could_read_otherwise_never_reaches_one(gateway, engine, raw, param, why) -> None:
    answer = await refused(gateway, request(raw))
    check(answer, 400, "invalid_json", param=param, message=why)
    assert len(engine.log) == 0
    await gateway.settled()


# --- fields, caps and media


def configured(**sections: Any) -> Config:
    shared = {"share_prefixes": "all"}  # without salts of ours: what an engine gets is what the client sent
    return Config.model_validate({"auth": {"mode": "anonymous"}, "isolation": shared, **sections})


FORBIDDEN = {
    "priority": (chat(priority=-1), "priority"),
    "cache_salt": (chat(cache_salt="of another"), "cache_salt"),
    "chat_template": (chat(chat_template="{{ x }}"), "chat_template"),
    "a variable of the template": (chat(chat_template_kwargs={"x": 1}), "chat_template_kwargs.x"),
    "vllm_xargs": (chat(vllm_xargs={"sim": {"tokens": 1}}), "vllm_xargs"),
    "kv_transfer_params": (chat(kv_transfer_params={"do_remote_decode": True}), "kv_transfer_params"),
    "prompt_embeds": ({**TEXT, "prompt_embeds": "AAAA"}, "prompt_embeds"),
    "grammar": (chat(structured_outputs={"grammar": "root ::= x"}), "structured_outputs.grammar"),
    "name of another's picture": (
        chat(messages=[{"role": "user", "content": [{"type": "text", "text": "x", "uuid": "y"}]}]),
        "messages[0].content[0].uuid",
    ),
}


@pytest.mark.parametrize(("body", "param"), FORBIDDEN.values(), ids=FORBIDDEN.keys())
async def test_a_field_that_needs_an_operator_is_refused_by_name(gateway, engine, body, param) -> None:
    path = COMPLETIONS if "prompt" in body else CHAT
    answer = await refused(gateway, request(body, path=path))
    check(answer, 400, "field_not_allowed", param=param, message=param)
    assert len(engine.log) == 0


async def test_what_is_left_out_is_told_of_in_every_answer(driver, engine, tmp_path) -> None:
    config = configured(requests={"privileged_fields": "strip"})
    async with running(config, tmp_path / "data", driver, endpoint(engine.address)) as gateway:
        peer = await gateway.connect()
        extras = {"priority": -1, "vendor": 1, "cache_salt": "x"}
        for body, status in (
            (chat(**extras), 200),
            (chat(**extras, stream=True), 200),
            (chat(**extras, model="none"), 404),
            (chat(**extras, max_tokens=10_000_000), 400),
        ):
            answer = await peer.ask(request(body))
            assert answer.status == status
            assert answer.header("x-cascadia-stripped") == "cache_salt, priority, vendor"
        assert all(not extras.keys() & json.loads(record.body).keys() for record in engine.log)


async def test_an_operator_can_let_fields_pass(driver, engine, tmp_path) -> None:
    config = configured(requests={"allowed_fields": ["vllm_xargs"], "unknown_fields": "refuse"})
    async with running(config, tmp_path / "data", driver, endpoint(engine.address)) as gateway:
        peer = await gateway.connect()
        answer = await peer.ask(request(chat(vllm_xargs={"sim": {"tokens": 2}})))
        assert answer.status == 200
        assert json.loads(engine.log[0].body)["vllm_xargs"] == {"sim": {"tokens": 2}}
        check(await peer.ask(request(chat(vendor=1))), 400, "field_not_allowed", param="vendor")


async def test_caps_of_a_key_and_of_a_model_hold(driver, engine, tmp_path, keys) -> None:
    wide, narrow = keys.create("wide", models=None), keys.create("narrow", models=None)
    config = Config.model_validate(
        {
            "caps": {
                "n": 4,
                "max_tokens": 100,
                "keys": {narrow.record.id: {"n": 1, "max_tokens": 20}},
                "models": {"small": {"stop": 0}},
            }
        }
    )
    serves = endpoint(engine.address, models={"model": "simulated", "small": "simulated"})
    async with running(config, tmp_path / "data", driver, serves) as gateway:
        peer = await gateway.connect()

        async def ask(key: Any, **fields: Any) -> Response:
            return await peer.ask(
                request(chat(**fields), more_headers=[("authorization", f"Bearer {key.text}")])
            )

        assert (await ask(wide, n=4)).status == 200
        check(await ask(wide, n=5), 400, "invalid_request", param="n", message="at most 4")
        check(await ask(narrow, n=2), 400, "invalid_request", param="n", message="at most 1")
        check(await ask(narrow, max_tokens=21), 400, "invalid_request", param="max_tokens", message="20")
        assert (await ask(narrow)).json()["usage"]["completion_tokens"] <= 20
        assert (await ask(wide, stop=["x"])).status == 200
        check(await ask(wide, model="small", stop="x"), 400, "invalid_request", param="stop", message="0")
        assert [json.loads(record.body).get("max_tokens") for record in engine.log] == [25, 20, 100]


MEDIA = [
    "http://127.0.0.1:6379/",
    "http://169.254.169.254/latest/meta-data/",
    "http://[::1]/x.png",
    "https://media.example.org@127.0.0.1/x.png",
    "https://example.com/x.png",
    "file:///etc/passwd",
    "gopher://127.0.0.1:6379/_FLUSHALL",
    "//127.0.0.1/x.png",
    "data:text/html,x",
]


@pytest.mark.parametrize("url", MEDIA)
@pytest.mark.parametrize("kind", ["image_url", "audio_url", "video_url"])
async def test_a_url_that_an_engine_would_fetch_never_reaches_one(gateway, engine, url, kind) -> None:
    content = [{"type": "text", "text": "Look."}, {"type": kind, kind: {"url": url}}]
    answer = await refused(gateway, request(chat(messages=[{"role": "user", "content": content}])))
    check(answer, 400, "invalid_request", param=f"messages[0].content[1].{kind}.url")
    assert len(engine.log) == 0


# --- large bodies, read aside


def large(**changes: Any) -> bytes:
    return json.dumps(chat(user="x" * 300_000, **changes)).encode()


async def test_a_large_body_is_answered_like_a_small_one(gateway, engine) -> None:
    peer = await gateway.connect()
    assert (await peer.ask(request(large()))).status == 200
    assert (await peer.ask(request(large(stream=True)))).events[-1] == b"data: [DONE]\n\n"
    check(await peer.ask(request(large(n=9))), 400, "invalid_request", param="n")
    check(await peer.ask(request(large()[:-1] + b"x")), 400, "invalid_json")
    small, big = await peer.ask(request(chat())), await peer.ask(request(large()))
    assert small.json()["choices"] == big.json()["choices"]
    assert json.loads(engine.log[-1].body) == {**json.loads(large()), "model": "simulated"}
    await gateway.settled()


async def test_others_are_served_while_a_large_body_is_read(gateway, engine) -> None:
    aside = gateway.proxy.aside = HeldAside()
    slow, quick = await gateway.connect(), await gateway.connect()
    await slow.send(request(large()))
    await until(lambda: aside.work)
    assert (await quick.ask(request(chat()))).status == 200
    aside.finish()
    assert (await slow.response()).status == 200
    assert [len(record.body) > 300_000 for record in engine.log] == [False, True]


@pytest.mark.parametrize("has_begun", [False, True])
async def test_a_client_that_leaves_while_its_body_is_read_costs_no_engine(
    gateway, engine, has_begun
) -> None:
    aside = gateway.proxy.aside = HeldAside()
    peer = await gateway.connect()
    await peer.send(request(large()))
    await until(lambda: aside.work)
    (work,) = aside.work
    if has_begun:
        work.begin()
    peer.close()
    await gateway.settled()
    assert [(end.outcome.value, end.status) for end in gateway.ends] == [("client_gone", 499)]
    work.tell()
    assert work.is_cancelled is not has_begun
    assert len(engine.log) == 0
    assert gateway.proxy.live == 0


async def test_time_that_is_over_while_a_body_is_read_is_told(gateway, engine) -> None:
    aside = gateway.proxy.aside = HeldAside()
    peer = await gateway.connect()
    await peer.send(request(large()))
    await until(lambda: aside.work)
    gateway.advance(601)
    check(await peer.response(), 504, "timeout", kind="server_error")
    aside.finish()
    assert (await peer.ask(request(chat()))).status == 200
    assert len(engine.log) == 1


async def test_a_gateway_that_stops_while_a_body_is_read_says_so(gateway, engine) -> None:
    aside = gateway.proxy.aside = HeldAside()
    peer = await gateway.connect()
    await peer.send(request(large()))
    await until(lambda: aside.work)
    gateway.proxy.is_draining = True
    gateway.proxy.cut()
    check(await peer.response(), 503, "shutting_down", kind="server_error", retry="true")
    aside.finish()
    assert len(engine.log) == 0
