"""HTTP/1.1 as the engine's server speaks it."""

import json

import pytest

from tests.contract.engine.exchange import QUESTION, Engine

LONGER_THAN_UNTOLD_SECONDS = 6
"""uvicorn's own time for idle connections is 5 s; the supervisor tells the engine another."""


def test_a_connection_serves_request_after_request(engine: Engine):
    with engine.connect() as connection:
        for _ in range(3):
            connection.send(engine.request("GET", "/version", close=False))
            reply = connection.read_reply()
            assert reply.names == ["date", "server", "content-length", "content-type", "vary"]


def test_a_connection_lives_on_after_a_stream(engine: Engine):
    with engine.connect() as connection:
        body = {"model": engine.model, "messages": QUESTION, "stream": True, "max_tokens": 2}
        connection.send(engine.request("POST", "/v1/chat/completions", body, close=False))
        stream = connection.read_reply()
        assert stream.names == ["date", "server", "content-type", "vary", "transfer-encoding"]
        connection.send(engine.request("GET", "/health"))
        assert connection.read_reply().status == 200


def test_an_idle_connection_lives_as_long_as_the_engine_was_told(engine: Engine):
    with engine.connect() as connection:
        connection.send(engine.request("GET", "/health", close=False))
        connection.read_reply()
        assert connection.is_silent_for(LONGER_THAN_UNTOLD_SECONDS)
        connection.send(engine.request("GET", "/health"))
        assert connection.read_reply().status == 200


@pytest.mark.parametrize("asked", [b"connection: close\r\n", b""])
def test_it_closes_when_asked_and_after_http_1_0(engine: Engine, asked: bytes):
    with engine.connect() as connection:
        version = b"1.1" if asked else b"1.0"
        connection.send(b"GET /version HTTP/" + version + b"\r\nhost: x\r\n" + asked + b"\r\n")
        reply = connection.read_reply()
        assert reply.header("connection") == "close"
        assert connection.is_at_end


def test_requests_sent_ahead_are_answered_in_order(engine: Engine):
    with engine.connect() as connection:
        connection.send(engine.request("GET", "/version", close=False) + engine.request("GET", "/health"))
        assert connection.read_reply().json["version"]
        assert connection.read_reply().body == b""
        assert connection.is_at_end


def test_what_is_not_http_is_told_so(engine: Engine):
    with engine.connect() as connection:
        connection.send(b"GARBAGE\r\n\r\n")
        reply = connection.read_reply()
        assert reply.status == 400
        assert reply.body == b"Invalid HTTP request received."
        assert reply.names == ["date", "server", "content-type", "content-length", "connection"]
        assert connection.is_at_end


def test_a_client_may_wait_for_leave_to_send(engine: Engine):
    with engine.connect() as connection:
        body = {"model": engine.model, "messages": QUESTION, "max_tokens": 1}
        request = engine.request("POST", "/v1/chat/completions", body, headers={"expect": "100-continue"})
        head, _, data = request.partition(b"\r\n\r\n")
        connection.send(head + b"\r\n\r\n")
        assert connection.read_until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.send(data)
        assert connection.read_reply().status == 200


def test_a_body_may_come_in_chunks(engine: Engine):
    data = json.dumps({"model": engine.model, "messages": QUESTION, "max_tokens": 1}).encode()
    headers = {"transfer-encoding": "chunked", "content-length": "", "content-type": "application/json"}
    head = engine.request("POST", "/v1/chat/completions", headers=headers)
    half = len(data) // 2
    with engine.connect() as connection:
        connection.send(
            head + b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in (data[:half], data[half:])) + b"0\r\n\r\n"
        )
        assert connection.read_reply().status == 200


def test_the_small_routes(engine: Engine):
    for method, path in (("GET", "/health"), ("GET", "/ping"), ("POST", "/ping")):
        reply = engine.ask(method, path)
        assert (reply.status, reply.body, reply.header("content-length")) == (200, b"", "0")
        assert reply.header("content-type") is None
    assert engine.ask("GET", "/version").json == {"version": "0.32.0"}
    assert engine.ask("GET", "/load").json == {"server_load": 0}


def test_a_query_does_not_change_the_route(engine: Engine):
    assert engine.ask("GET", "/health?a=b").status == 200


def test_the_list_of_models(engine: Engine):
    told = engine.ask("GET", "/v1/models").json
    assert list(told) == ["object", "data"]
    assert [card["id"] for card in told["data"]] == list(engine.running.names)
    keys = ["id", "object", "created", "owned_by", "root", "parent", "max_model_len", "permission"]
    assert all(list(card) == keys for card in told["data"])
    assert told["data"][0]["max_model_len"] == 1024
    assert list(told["data"][0]["permission"][0])[:3] == ["id", "object", "created"]


def test_counting_tokens(engine: Engine):
    told = engine.ask("POST", "/tokenize", {"model": engine.model, "prompt": "hello world"}).json
    assert list(told) == ["count", "max_model_len", "tokens", "token_strs"]
    assert told["count"] == len(told["tokens"])
    chat = {"model": engine.model, "messages": QUESTION, "return_token_strs": True}
    told = engine.ask("POST", "/tokenize", chat).json
    assert (
        len(told["token_strs"]) == told["count"] == engine.chat(max_tokens=1).json["usage"]["prompt_tokens"]
    )
