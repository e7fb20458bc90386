"""What the edge does better than a stock server can: it owns its sockets."""

from __future__ import annotations

import dataclasses
import json

import pytest

from tests.support.gateway import Driver, RunningGateway, endpoint, until
from tests.support.peer import Ending, request
from tests.support.scripted import PLAIN_BODY, ScriptedEngine, whole

CHAT_BODY = {"model": "model", "messages": [{"role": "user", "content": "Say it."}]}


@pytest.fixture
def driver() -> Driver:
    return Driver.EDGE


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/chat/completions?by=asgi"])
async def test_trailers_of_a_chunked_body_are_nobodys_headers(gateway, engine, path) -> None:
    peer = await gateway.connect()
    raw = request(CHAT_BODY, path=path, chunk_bytes=50)
    assert raw.endswith(b"0\r\n\r\n")
    answer = await peer.ask(raw[:-2] + b"authorization: Bearer x\r\nx-request-id: trailer\r\n\r\n")
    assert answer.status == 200
    assert answer.header("x-request-id") != "trailer"
    assert not engine.log[0].headers[b"x-request-id"].startswith(b"trailer")


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 500, id="TLS"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", id="HTTP/2"),
        pytest.param(b"POST /v1/chat/completions HTTP/9.9\r\nhost: x\r\n\r\n", id="version"),
        pytest.param(
            b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n{}",
            id="two lengths",
        ),
        pytest.param(
            b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}",
            id="two CL",
        ),
        pytest.param(
            b"POST /v1/chat/completions HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}",
            id="bad chunk",
        ),
    ],
)
async def test_what_is_not_http_is_answered_in_the_apis_shape_and_the_connection_ends(
    gateway, engine, raw
) -> None:
    peer = await gateway.connect()
    await peer.send(raw)
    answer = await peer.last_response()
    assert answer.status == 400
    assert answer.json()["error"]["code"] == "invalid_request"
    assert answer.header("connection") == "close"
    assert answer.header("x-should-retry") == "false"
    assert answer.ending is Ending.FIN
    await gateway.settled()
    assert len(engine.log) == 0


@pytest.mark.parametrize("queued", ["/v1/chat/completions", "/v1/models"])
async def test_gone_with_a_request_queued_behind_aborts_the_one_that_runs(gateway, engine, queued) -> None:
    """A stock server tells only its latest request; the edge tells the one that runs."""
    engine.fault("hang", at="arrival")
    peer = await gateway.connect()
    behind = request(CHAT_BODY, path=queued) if "chat" in queued else request(b"", path=queued, method="GET")
    await peer.send(request({**CHAT_BODY, "stream": True}) + behind)
    await until(lambda: engine.log)
    peer.close()
    await until(lambda: engine.log[0].end == "aborted")
    await gateway.settled()
    assert len(engine.log) == 1


async def test_gone_while_a_pipelined_request_runs_with_another_behind(gateway, engine) -> None:
    """The same for one that the edge left to the application."""
    engine.fault("hang", at="arrival")
    peer = await gateway.connect()
    models = request(b"", path="/v1/models", method="GET", headers=())
    await peer.send(models + request({**CHAT_BODY, "stream": True}) + request(CHAT_BODY))
    await until(lambda: engine.log)
    peer.close()
    await until(lambda: engine.log[0].end == "aborted")
    await gateway.settled()
    assert len(engine.log) == 1


@pytest.fixture
def hasty(gateway: RunningGateway) -> RunningGateway:
    """A gateway that waits 50 ms for a client that does not read."""
    gateway.parts.guard.limits = dataclasses.replace(gateway.parts.guard.limits, send_seconds=0.05)
    return gateway


BIG = whole(json.dumps({"choices": [{"message": {"content": "x" * 8_000_000}}]}).encode())
IDLE = 75
KEPT = pytest.mark.parametrize("is_kept", [True, False], ids=["keep-alive", "close"])


async def half_read(gateway: RunningGateway, *, is_kept: bool):
    """A client that has been given a whole answer, most of which waits to be sent."""
    peer = await gateway.connect(receive_bytes=4096)
    await peer.send(request(CHAT_BODY, more_headers=[] if is_kept else [("connection", "close")]))
    await until(lambda: gateway.ends)
    if is_kept:
        gateway.advance(IDLE + 1)
    return peer


@KEPT
async def test_a_whole_answer_that_is_not_read_does_not_stay_for_ever(hasty, tmp_path, is_kept) -> None:
    """A closing transport waits for its buffer to empty, however long that takes."""
    async with ScriptedEngine([BIG]).serve(tmp_path / "s.sock") as other:
        hasty.publish(endpoint(other.address))
        peer = await half_read(hasty, is_kept=is_kept)
        await until(lambda: not hasty.connections)
        peer.widen()
        assert not (await peer.last_response()).is_complete


@KEPT
async def test_a_whole_answer_that_is_read_slowly_arrives(gateway, tmp_path, is_kept) -> None:
    """Each look at the connection finds less to send than the one before: it is let be."""
    async with ScriptedEngine([BIG]).serve(tmp_path / "s.sock") as other:
        gateway.publish(endpoint(other.address))
        peer = await half_read(gateway, is_kept=is_kept)
        (connection,) = gateway.connections
        looks = 0
        while left := connection.transport.get_write_buffer_size():
            await peer.more(1 << 16)
            peer.widen()
            if gateway.connections and connection.transport.get_write_buffer_size() < left:
                connection._closing.cancel()
                connection._close_by(left)
                looks += 1
        assert looks > 1
        if is_kept:
            connection._close_by()
        answer = await peer.last_response()
        assert answer.is_complete
        assert answer.ending is Ending.FIN


async def test_nothing_more_is_read_behind_many_queued_requests(gateway, engine) -> None:
    engine.fault("hang", at="arrival", times=1)
    peer = await gateway.connect()
    await peer.send(request(CHAT_BODY))
    await until(lambda: engine.log)
    (connection,) = gateway.connections
    for number in range(16):
        assert not connection.flow.read_paused
        await peer.send(request(CHAT_BODY))
        await until(lambda: len(connection.pipeline) == number + 1)  # noqa: B023 - awaited before the next
    assert connection.flow.read_paused
    assert gateway.proxy.live == 1


async def held_with_half_a_request_behind(gateway: RunningGateway, engine: ScriptedEngine, half: bytes):
    """A client whose second request has begun to arrive while its first one runs; `answered` answers that one."""
    gateway.publish(endpoint(engine.address))
    peer = await gateway.connect()
    await peer.send(request(CHAT_BODY))
    await until(lambda: engine.requests)
    await peer.send(half)
    (connection,) = gateway.connections
    await until(lambda: connection.pipeline)
    return peer


def answered(engine: ScriptedEngine) -> None:
    (connection,) = engine.connections
    connection.parts = list(engine.parts)
    engine.parts = [whole(PLAIN_BODY)]
    connection.transport.write(whole(PLAIN_BODY))


async def test_an_answer_keeps_the_connection_for_a_request_that_arrives_behind_it(gateway, tmp_path) -> None:
    """Its client is not done sending, but not that request."""
    second = request(CHAT_BODY)
    async with ScriptedEngine().serve(tmp_path / "s.sock") as other:
        peer = await held_with_half_a_request_behind(gateway, other, second[:-10])
        answered(other)
        first = await peer.response()
        assert (first.status, first.header("connection")) == (200, None)
        await peer.send(second[-10:])
        assert (await peer.response()).status == 200


async def test_an_answer_in_front_of_what_is_no_http_is_not_reset(gateway, tmp_path) -> None:
    """More of that may be on its way: closing at once would reset the connection under the answer."""
    async with ScriptedEngine().serve(tmp_path / "s.sock") as other:
        gateway.publish(endpoint(other.address))
        peer = await gateway.connect()
        await peer.send(request(CHAT_BODY) + b"\x16\x03\x01")
        await until(lambda: other.requests)
        answered(other)
        assert (await peer.response()).status == 200
        (connection,) = gateway.connections
        assert connection._lingering is not None
        await peer.send(b"\x16\x03\x01")
        assert await peer.end() is Ending.FIN


@pytest.mark.parametrize("announced", [50, 100_000_000], ids=["fair", "too large"])
async def test_a_stop_loses_no_answer_with_half_a_request_behind_it(gateway, tmp_path, announced) -> None:
    """Closing on unread bytes would reset the connection under the answer; what is behind is not begun either."""
    half = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n{" % announced
    async with ScriptedEngine().serve(tmp_path / "s.sock") as other:
        peer = await held_with_half_a_request_behind(gateway, other, half)
        gateway.proxy.is_draining = True
        answered(other)
        first = await peer.response()
        assert (first.status, first.header("connection")) == (200, "close")
        await peer.send(b" " * 40)
        assert await peer.end() is Ending.FIN
        assert not peer.buffer
        assert len(gateway.ends) == 1
