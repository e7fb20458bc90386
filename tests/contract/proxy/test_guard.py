"""What a connection may cost: size and time of heads, framing, hosts, paths, numbers of connections."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
from typing import Any

import pytest

from config.schema import Config
from gateway.auth.keys import KeyFile
from gateway.core.errors import Draining, InvalidRequest
from tests.support.gateway import endpoint, running, until
from tests.support.peer import DEADLINE_SECONDS, Ending, Peer, Response, request
from tests.support.scripted import ScriptedEngine, whole

BODY: dict[str, Any] = {"model": "model", "messages": [{"role": "user", "content": "Say it."}]}
MODELS = request(b"", path="/v1/models", method="GET", headers=())
CHAT = request(BODY)
HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n"
HEAD_SECONDS, IDLE_SECONDS = 10, 75
DRAINED = Draining("x", retry_after=1)


async def refused(peer: Peer, raw: bytes, status: int, code: str) -> Response:
    """Send what is refused: an answer in the API's shape, then the end of the connection, and nothing between."""
    await peer.send(raw)
    answer = await peer.last_response()
    assert answer.status == status, answer.raw
    assert answer.is_complete
    assert answer.json()["error"]["code"] == code
    assert answer.header("connection") == "close"
    assert answer.header("x-should-retry") in {"true", "false"}
    assert answer.header("x-request-id")
    assert answer.ending is Ending.FIN
    return answer


LARGE = {
    "one field": HEAD + b"x-a: " + b"a" * 20_000 + b"\r\n\r\n",
    "one field without an end": HEAD + b"x-a: " + b"a" * 20_000,
    "a name without an end": HEAD + b"a" * 20_000,
    "many fields": HEAD + b"".join(b"x-%d: a\r\n" % number for number in range(101)) + b"\r\n",
    "many small ones": HEAD + b"".join(b"x-%d: %b\r\n" % (n, b"a" * 400) for n in range(50)) + b"\r\n",
    "a target": b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "2 MB": HEAD + b"x-a: " + b"a" * 2_000_000,
}


@pytest.mark.parametrize("raw", LARGE.values(), ids=LARGE.keys())
async def test_a_head_has_a_size(gateway, engine, raw) -> None:
    peer = await gateway.connect()
    with contextlib.suppress(
        BrokenPipeError, ConnectionResetError
    ):  # the rest of a very large one is not read
        await refused(peer, raw, 431, "headers_too_large")
    await gateway.settled()
    assert len(engine.log) == 0


async def test_a_head_has_a_size_in_pieces_too(gateway, engine) -> None:
    peer = await gateway.connect()
    await peer.send(HEAD)
    (connection,) = await _connections(gateway, 1)
    sent = 0
    while not connection._is_deaf:
        assert sent <= 17 * 1024
        await peer.send(b"x-a: " + b"a" * 1017 + b"\r\n")
        sent += 1024
        await until(lambda: connection._head_bytes >= sent or connection._is_deaf)  # noqa: B023 - awaited here
    assert (await peer.last_response()).status == 431


async def test_the_largest_head_that_may_be_is_served(gateway, engine) -> None:
    peer = await gateway.connect()
    padding = [(f"x-{number}", "a" * 150) for number in range(94)]
    assert (await peer.ask(request(BODY, more_headers=padding))).status == 200


@pytest.mark.parametrize(
    "begun", [b"", b"GET /v1/mod", HEAD, HEAD + b"x-a: "], ids=["nothing", "1", "2", "3"]
)
async def test_a_head_has_its_time_however_it_drips(gateway, engine, begun) -> None:
    peer = await gateway.connect()
    if begun:
        await peer.send(begun)
    (connection,) = await _connections(gateway, 1)
    await until(lambda: not begun or connection._in_head)
    for byte in b"abcdefghi":
        gateway.advance(1)
        if begun:
            await peer.send(bytes([byte]))
    assert not connection._is_deaf
    gateway.advance(HEAD_SECONDS - 8)
    if not begun:
        assert await peer.end() is Ending.FIN
        assert not peer.buffer
        return
    answer = await peer.last_response()
    assert (answer.status, answer.json()["error"]["code"]) == (408, "request_timeout")


async def test_a_kept_connection_idles_for_its_time(gateway, engine) -> None:
    peer = await gateway.connect()
    for _ in range(2):
        assert (await peer.ask(MODELS)).status == 200
        gateway.advance(IDLE_SECONDS - 1)
    assert (await peer.ask(CHAT)).status == 200
    gateway.advance(IDLE_SECONDS + 1)
    assert await peer.end() is Ending.FIN
    assert not peer.buffer


async def test_a_running_answer_is_not_idle(gateway, engine) -> None:
    engine.fault("hang", at="arrival")
    peer = await gateway.connect()
    await peer.send(CHAT)
    await until(lambda: engine.log)
    gateway.advance(IDLE_SECONDS + 100)
    assert gateway.proxy.live == 1


async def test_idle_connections_go_early_when_room_is_short(gateway) -> None:
    gateway.parts.guard.limits = dataclasses.replace(gateway.parts.guard.limits, connections=4)
    peers = [await gateway.connect() for _ in range(4)]
    for peer in peers:
        assert (await peer.ask(MODELS)).status == 200
    gateway.advance(2)
    for peer in peers:
        assert await peer.end() is Ending.FIN
    assert (await (await gateway.connect()).ask(MODELS)).status == 200


HOSTS = {
    "none": b"GET /v1/models HTTP/1.1\r\n\r\n",
    "none in 1.0": b"GET /v1/models HTTP/1.0\r\n\r\n",
    "two": b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\nHost: localhost\r\n\r\n",
    "another": b"GET /v1/models HTTP/1.1\r\nhost: evil.example\r\n\r\n",
    "a path in it": b"GET /v1/models HTTP/1.1\r\nhost: a/v1/models?x=\r\n\r\n",
    "a whole URL as target": b"GET http://localhost/v1/models HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "an authority as target": b"GET @evil HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "no path": b"OPTIONS * HTTP/1.1\r\nhost: localhost\r\n\r\n",
}


@pytest.mark.parametrize("raw", HOSTS.values(), ids=HOSTS.keys())
@pytest.mark.parametrize("path", [b"/v1/models", b"/v1/chat/completions"])
async def test_a_request_has_one_host_that_is_ours_and_a_path(gateway, engine, raw, path) -> None:
    peer = await gateway.connect()
    await refused(peer, raw.replace(b"/v1/models", path) + CHAT, 400, "invalid_request")
    assert len(engine.log) == 0


async def test_a_host_that_is_listed_is_answered_to(driver, engine, tmp_path) -> None:
    config = Config.model_validate(
        {"auth": {"mode": "anonymous"}, "server": {"allowed_hosts": ["llm.lab.example"]}}
    )
    async with running(config, tmp_path / "d", driver, endpoint(engine.address)) as gateway:
        peer = await gateway.connect()
        assert (await peer.ask(CHAT.replace(b"gateway.localhost", b"llm.lab.example"))).status == 200


UPGRADES = {
    "websocket": b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
    b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n",
    "h2c": b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\nconnection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\n"
    b"http2-settings: AAMAAABkAAQAAP__\r\n\r\n",
    "with a body": HEAD + b"connection: upgrade\r\nupgrade: x\r\ncontent-length: 2\r\n\r\n{}",
}


@pytest.mark.parametrize("raw", UPGRADES.values(), ids=UPGRADES.keys())
async def test_no_other_protocol_is_spoken(gateway, engine, raw) -> None:
    await refused(await gateway.connect(), raw + CHAT, 400, "invalid_request")
    assert len(engine.log) == 0


async def test_there_are_no_tunnels(gateway) -> None:
    raw = b"CONNECT localhost:80 HTTP/1.1\r\nhost: localhost\r\n\r\n"
    await refused(await gateway.connect(), raw, 405, "method_not_allowed")


async def test_a_header_name_with_an_underscore_is_refused(gateway) -> None:
    raw = request(BODY, more_headers=[("x_forwarded_for", "10.0.0.1")])
    answer = await refused(await gateway.connect(), raw, 400, "invalid_request")
    assert "x_forwarded_for" in answer.json()["error"]["message"]


PATHS = [
    "//v1/models",
    "/v1//models",
    "/v1/models/..",
    "/v1/./models",
    "/v1/x/../models",
    "/%76%31/models",
    "/v1/%6dodels",
    "/v1%2fmodels",
    "/v1/models%00",
    "/v1/models%2f",
    "/v1/models;x=1",
    "/v1/models..;/",
    "/V1/models",
    "/v1/Models",
    "/v1/models/%2e%2e",
    "/v1/models%0d%0a",
    "/livez/",
    "/livez%20",
    "/v1/chat/completions/",
    "/v1/chat/%63ompletions",
    "/v1/chat%2fcompletions",
    "/v1/chat/completions;x",
    "/metrics",
    "/docs",
    "/openapi.json",
]


@pytest.mark.parametrize("path", PATHS)
async def test_a_path_is_what_it_is_byte_for_byte(gateway, engine, path) -> None:
    peer = await gateway.connect()
    for method in ("GET", "POST"):
        answer = await peer.ask(request(b"{}", path=path, method=method))
        is_a_model = path.startswith("/v1/models/")
        assert answer.status == (405 if is_a_model and method == "POST" else 404), answer.raw
        assert answer.header("location") is None
    assert len(engine.log) == 0


async def test_only_a_models_name_may_be_encoded(driver, engine, tmp_path) -> None:
    config = Config.model_validate({"auth": {"mode": "anonymous"}})
    async with running(
        config, tmp_path / "d", driver, endpoint(engine.address, models={"lab/model": "simulated"})
    ) as gateway:
        peer = await gateway.connect()
        for path in ("/v1/models/lab/model", "/v1/models/lab%2Fmodel"):
            answer = await peer.ask(request(b"", path=path, method="GET", headers=()))
            assert (answer.status, answer.json()["id"]) == (200, "lab/model")


async def test_trailers_without_an_end_are_not_read(gateway, engine) -> None:
    peer = await gateway.connect()
    await peer.send(request(BODY, chunk_bytes=50)[:-2])
    sent = 0
    while not gateway.ends:
        assert sent < 1_000_000
        await peer.send(b"x-trailer: " + b"a" * 10_000 + b"\r\n")
        sent += 10_000
        await asyncio.sleep(0)
    await gateway.settled()
    assert len(engine.log) == 0


async def test_a_body_in_single_bytes_without_an_end_is_not_read_on(gateway, engine) -> None:
    """Each chunk is a call of the parser: a client could keep the loop busy with a few bytes a second."""
    peer = await gateway.connect()
    await peer.send(request(b"", chunk_bytes=1)[:-5])
    sent = 0
    while not gateway.ends:
        assert sent < 60_000
        await peer.send(b"1\r\nx\r\n" * 1000)
        sent += 1000
        await asyncio.sleep(0)
    answer = await peer.response()
    assert (answer.status, answer.header("connection")) == (400, "close")
    await gateway.settled()


async def test_a_body_in_single_bytes_is_served(gateway, engine) -> None:
    peer = await gateway.connect()
    long = {**BODY, "messages": [{"role": "user", "content": "x" * 3_000}]}
    assert (await peer.ask(request(long, chunk_bytes=1))).status == 200


async def test_nothing_is_served_behind_a_last_request(gateway, engine) -> None:
    peer = await gateway.connect()
    await peer.send(request(BODY, more_headers=[("connection", "close")]) + CHAT)
    assert (await peer.last_response()).status == 200
    await gateway.settled()
    assert len(engine.log) == 1


async def test_what_is_refused_waits_for_what_was_asked_before(gateway, engine) -> None:
    peer = await gateway.connect()
    await peer.send(CHAT + b"GET /v1/models HTTP/1.1\r\n\r\n" + CHAT)
    answer = await peer.last_response()
    assert (answer.status, answer.is_complete) == (200, True)
    await gateway.settled()
    assert len(engine.log) == 1


async def test_one_connection_too_many_ends_the_oldest_that_never_asked(gateway, engine) -> None:
    gateway.parts.guard.limits = dataclasses.replace(gateway.parts.guard.limits, connections_per_address=3)
    kept = await gateway.connect()
    assert (await kept.ask(CHAT)).status == 200
    silent = []
    for _ in range(8):
        silent.append(await gateway.connect())
        await until(lambda: len(gateway.parts.guard) >= min(3, 1 + len(silent)))
        gateway.advance(0.5)
    honest = await gateway.connect()
    assert (await honest.ask(CHAT)).status == 200
    assert (await kept.ask(CHAT)).status == 200
    for peer in silent[:-2]:
        assert await peer.end() in {Ending.FIN, Ending.RST}
    await until(lambda: len(gateway.parts.guard) == 3)


async def test_a_connection_that_finds_no_room_is_told(gateway) -> None:
    gateway.parts.guard.limits = dataclasses.replace(gateway.parts.guard.limits, connections=1)
    first = await gateway.connect()
    assert (await first.ask(MODELS)).status == 200
    answer = await (await gateway.connect()).last_response()
    assert (answer.status, answer.json()["error"]["code"]) == (503, "overloaded")
    assert (answer.header("x-should-retry"), answer.header("retry-after")) == ("true", "1")
    assert (await first.ask(MODELS)).status == 200


async def test_two_credentials_are_one_too_many(driver, engine, tmp_path) -> None:
    keys = KeyFile(tmp_path / "d" / "keys.json", tmp_path / "d" / "pepper", lambda: 1.0)
    key = keys.create("k", models=None).text
    async with running(Config(), tmp_path / "d", driver, endpoint(engine.address)) as gateway:
        peer = await gateway.connect()
        both = [("authorization", f"Bearer {key}"), ("x-api-key", key)]
        answer = await peer.ask(request(BODY, more_headers=both))
        assert (answer.status, answer.json()["error"]["code"]) == (400, "invalid_request")
        assert (await peer.ask(request(BODY, more_headers=both[1:]))).status == 401
        assert (await peer.ask(request(BODY, more_headers=both[:1]))).status == 200
        assert len(engine.log) == 1


@pytest.mark.parametrize(
    ("trusted", "client"), [([], "127.0.0.1"), (["127.0.0.0/8"], "203.0.113.9")], ids=["nobody", "the peer"]
)
async def test_a_proxys_word_counts_if_it_is_trusted(driver, engine, tmp_path, trusted, client) -> None:
    config = Config.model_validate({"auth": {"mode": "anonymous"}, "server": {"trusted_proxies": trusted}})
    async with running(config, tmp_path / "d", driver, endpoint(engine.address)) as gateway:
        peer = await gateway.connect()
        headers = [("x-forwarded-for", "198.51.100.1, 203.0.113.9"), ("x-real-ip", "198.51.100.2")]
        assert (await peer.ask(request(BODY, more_headers=headers))).status == 200
        assert [end.client for end in gateway.ends] == [client]


async def _connections(gateway: Any, count: int) -> list[Any]:
    await until(lambda: len(gateway.connections) == count)
    return list(gateway.connections)


def test_the_request_used_here_is_one() -> None:
    assert json.loads(CHAT.partition(b"\r\n\r\n")[2]) == BODY


# --- memory


async def test_bodies_that_are_held_take_no_more_than_their_part(gateway, engine) -> None:
    gateway.proxy.max_held_bytes = 20_000
    half = request({**BODY, "messages": [{"role": "user", "content": "x" * 12_000}]})
    first, second = [await gateway.connect() for _ in range(2)]
    await first.send(half[:-100])
    await until(lambda: gateway.proxy.held_bytes > 10_000)
    await second.send(half)
    answer = await second.response()
    assert (answer.status, answer.json()["error"]["code"]) == (503, "overloaded")
    assert (answer.header("x-should-retry"), answer.header("retry-after")) == ("true", "1")
    await first.send(half[-100:])
    assert (await first.response()).status in {200, 400}  # the engine may find it too long
    await gateway.settled()
    assert gateway.proxy.held_bytes == 0


async def test_a_whole_answer_that_there_is_no_room_for_is_refused(gateway, tmp_path) -> None:
    gateway.proxy.max_held_bytes = 50_000
    big = whole(json.dumps({"choices": [{"message": {"content": "x" * 100_000}}]}).encode())
    async with ScriptedEngine([big]).serve(tmp_path / "s.sock") as other:
        gateway.publish(endpoint(other.address))
        answer = await (await gateway.connect()).ask(CHAT)
        assert (answer.status, answer.json()["error"]["code"]) == (503, "overloaded")
        assert not gateway.replica().is_ejected(gateway.clock())
        await gateway.settled()
        assert gateway.proxy.held_bytes == 0


async def test_nothing_is_taken_when_memory_is_full(gateway, engine) -> None:
    gateway.proxy.is_full = True
    peer = await gateway.connect()
    answer = await peer.ask(CHAT)
    assert (answer.status, answer.json()["error"]["code"]) == (503, "overloaded")
    gateway.proxy.is_full = False
    assert (await peer.ask(CHAT)).status == 200
    assert len(engine.log) == 1


async def test_no_connection_is_kept_idle_when_memory_is_short(gateway, engine) -> None:
    peer = await gateway.connect()
    assert (await peer.ask(CHAT)).status == 200
    gateway.parts.guard.is_pressed = True
    gateway.advance(2)
    assert await peer.end() is Ending.FIN


# --- many requests at once


async def test_of_many_requests_in_one_read_a_few_are_queued_and_answered_in_order(gateway, engine) -> None:
    peer = await gateway.connect()
    engine.fault("hang", at="arrival", times=1)
    paths = [f"/v1/models/none-{number}" for number in range(1000)]
    burst = b"".join(request(b"", path=path, method="GET", headers=()) for path in paths)
    await peer.send(CHAT)
    await until(lambda: engine.log)
    await peer.send(burst)
    (connection,) = gateway.connections
    await until(lambda: connection.pipeline)
    assert len(connection.pipeline) <= 16
    for exchange in list(gateway.proxy._live):
        exchange.cut(DRAINED)
    assert (await peer.response()).status == 503
    answered = 0
    while answered < len(paths):
        answer = await peer.response()
        assert answer.json()["error"]["message"].startswith(f"The model `none-{answered}` does not exist")
        assert len(connection.pipeline) <= 16
        answered += 1
    assert not peer.buffer
    assert (await peer.ask(MODELS)).status == 200


async def test_a_client_that_asks_and_does_not_read_is_not_listened_to(gateway, engine) -> None:
    many = {f"model-{number}": "simulated" for number in range(500)}
    gateway.publish(endpoint(engine.address, models=many))  # a long answer to a short question
    peer = await gateway.connect(receive_bytes=4096)
    (connection,) = await _connections(gateway, 1)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(
            DEADLINE_SECONDS
        ):  # the kernel's buffers are full then, whatever their size
            while not (connection.flow.read_paused and connection.flow.write_paused):
                await asyncio.get_running_loop().sock_sendall(peer.socket, MODELS)
                await asyncio.sleep(0)
    assert connection.flow.write_paused
    assert connection.flow.read_paused
    assert connection.transport.get_write_buffer_size() < 1_000_000


async def test_what_the_application_answers_does_not_wait_for_ever_for_a_client_that_does_not_read(
    gateway, engine
) -> None:
    many = {f"model-{number}": "simulated" for number in range(2000)}
    gateway.publish(endpoint(engine.address, models=many))
    peer = await gateway.connect(receive_bytes=4096)
    (connection,) = await _connections(gateway, 1)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not (connection.flow.write_paused and connection.pipeline):
                await asyncio.get_running_loop().sock_sendall(peer.socket, MODELS)
                await asyncio.sleep(0)
    assert connection.flow.write_paused
    for _ in range(2):
        gateway.advance(29)
        assert gateway.connections
        await peer.more(65536)  # it takes a little: that is enough
        peer.widen()
        before = connection.transport.get_write_buffer_size()
        await until(lambda: connection.transport.get_write_buffer_size() < before or peer.buffer)  # noqa: B023 - awaited

    def is_gone_in_time() -> bool:
        gateway.advance(29)  # what its system still takes for it comes in between
        return not gateway.connections

    await until(is_gone_in_time)


async def test_nor_does_it_when_the_client_went_on_with_what_is_no_http(gateway, engine) -> None:
    many = {f"model-{number}": "simulated" for number in range(2000)}
    gateway.publish(endpoint(engine.address, models=many))
    peer = await gateway.connect(receive_bytes=4096)
    (connection,) = await _connections(gateway, 1)
    while not connection.flow.write_paused:
        await asyncio.get_running_loop().sock_sendall(peer.socket, MODELS)
        await asyncio.sleep(0)
    connection.refuse(InvalidRequest("Invalid HTTP request received."))
    for _ in range(3):
        gateway.advance(29)
    await until(lambda: not gateway.connections)
