"""Every wait of a call is bounded. Time stands still here and is moved by hand."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.gateway import RunningGateway, endpoint, until
from tests.support.peer import Ending, Response, request
from tests.support.scripted import ROLE, STREAM_HEAD, ScriptedEngine, chunk, content

PLAIN: dict[str, Any] = {"model": "model", "messages": [{"role": "user", "content": "Say it."}]}
STREAM: dict[str, Any] = {**PLAIN, "stream": True}
QUEUE, FIRST_TOKEN, STALL, TOTAL, BODY = 30, 120, 30, 600, 30
GRACE = 5
"""Before that nothing is said of how fast a body comes."""


def check(answer: Response, status: int, code: str, retry: str) -> None:
    assert answer.status == status, answer.raw
    assert answer.json()["error"]["code"] == code
    assert answer.header("x-should-retry") == retry


def last_end(gateway: RunningGateway) -> tuple[str, int, str | None, int]:
    end = gateway.ends[-1]
    return end.outcome.value, end.status, end.code, end.attempts


async def test_a_body_that_does_not_come_is_given_up(gateway, engine) -> None:
    peer = await gateway.connect()
    await peer.send(request(PLAIN)[:-5])
    await until(lambda: gateway.proxy.live == 1)
    gateway.advance(GRACE)
    assert gateway.proxy.live == 1
    gateway.advance(1)
    answer = await peer.response()
    check(answer, 408, "request_timeout", "false")
    assert answer.header("connection") == "close"
    assert await peer.end() is Ending.FIN
    await gateway.settled()
    assert len(engine.log) == 0


async def test_a_body_that_comes_fast_enough_may_take_its_time_and_no_longer(gateway, engine) -> None:
    peer = await gateway.connect()
    raw = request({**PLAIN, "messages": [{"role": "user", "content": "x" * 2048 * BODY}]})
    await peer.send(raw[:2048])
    await until(lambda: gateway.proxy.live == 1)
    (connection,) = gateway.connections
    for second in range(1, BODY):
        await peer.send(raw[2048 * second : 2048 * (second + 1)])
        await until(lambda: connection._body_bytes >= 2048 * second)  # noqa: B023 - awaited before the next
        gateway.advance(1)
        assert gateway.proxy.live == 1
    gateway.advance(2)
    check(await peer.response(), 408, "request_timeout", "false")
    assert await peer.end() is Ending.FIN
    await gateway.settled()
    assert len(engine.log) == 0


async def test_a_place_in_the_queue_expires(gateway, engine) -> None:
    gateway.publish(endpoint(engine.address, max_in_flight=1))
    engine.fault("hang", at="arrival")
    first, second = [await gateway.connect() for _ in range(2)]
    await first.send(request(PLAIN))
    await until(lambda: engine.log)
    await second.send(request(STREAM))
    await until(lambda: gateway.waiting() == 1)
    gateway.advance(QUEUE - 1)
    assert gateway.waiting() == 1
    gateway.advance(1)
    answer = await second.response()
    check(answer, 503, "overloaded", "true")
    assert answer.header("retry-after") == "1"
    assert last_end(gateway) == ("evicted", 503, "overloaded", 0)
    assert len(engine.log) == 1


@pytest.mark.parametrize("at", ["arrival", "headers", "events"])
async def test_a_stream_without_content_in_time_is_a_504_and_its_engine_aborted(gateway, engine, at) -> None:
    engine.fault("hang", at=at, after_events=1)
    peer = await gateway.connect()
    await peer.send(request(STREAM))
    await until(
        lambda: (
            engine.log and (at == "arrival" or [e for e in gateway.proxy._live if e.state.value == "head"])
        )
    )
    gateway.advance(FIRST_TOKEN - 1)
    assert gateway.proxy.live == 1
    gateway.advance(2)
    check(await peer.response(), 504, "timeout", "false")
    assert last_end(gateway) == ("upstream_error", 504, "timeout", 1)
    await until(lambda: engine.log[0].end in {"aborted", "fault"} and not engine.connections)
    await gateway.settled()


async def test_a_timeout_is_not_tried_on_another(gateway, engine, tcp_engine) -> None:
    gateway.publish(endpoint(engine.address, id="a"), endpoint(tcp_engine.address, id="b"))
    for each in (engine, tcp_engine):
        each.fault("hang", at="arrival")
    peer = await gateway.connect()
    await peer.send(request(STREAM))
    await until(lambda: len(engine.log) + len(tcp_engine.log))
    gateway.advance(FIRST_TOKEN + 1)
    check(await peer.response(), 504, "timeout", "false")
    assert len(engine.log) + len(tcp_engine.log) == 1


async def test_a_plain_answer_may_take_until_the_total(gateway, engine) -> None:
    engine.fault("hang", at="arrival")
    peer = await gateway.connect()
    await peer.send(request(PLAIN))
    await until(lambda: engine.log)
    gateway.advance(TOTAL - 1)
    assert gateway.proxy.live == 1
    gateway.advance(2)
    check(await peer.response(), 504, "timeout", "false")
    assert last_end(gateway) == ("evicted", 504, "timeout", 1)
    assert not gateway.replica().is_ejected(gateway.clock())


async def streaming(gateway: RunningGateway, other: ScriptedEngine) -> Any:
    """A client whose stream has brought its first content."""
    gateway.publish(endpoint(other.address))
    peer = await gateway.connect()
    await peer.send(request(STREAM))
    await peer.until(b"first")
    return peer


BEGUN = STREAM_HEAD + chunk(ROLE) + chunk(content("first"))


def check_interrupted(answer: Response) -> None:
    assert not answer.is_complete
    assert answer.ending is Ending.FIN
    assert json.loads(answer.events[-1][6:])["error"]["code"] == "stream_interrupted"


async def test_a_stream_that_stalls_is_interrupted(gateway, tmp_path) -> None:
    async with ScriptedEngine([BEGUN]).serve(tmp_path / "s.sock") as other:
        peer = await streaming(gateway, other)
        gateway.advance(STALL - 1)
        for connection in other.connections:
            connection.transport.write(chunk(content("second")))
        await peer.until(b"second")
        gateway.advance(STALL - 1)
        assert gateway.proxy.live == 1
        gateway.advance(2)
        check_interrupted(await peer.last_response())
        assert last_end(gateway) == ("upstream_error", 200, "stream_interrupted", 1)
        await until(lambda: not other.connections)
        await gateway.settled()


async def test_a_stream_that_goes_on_too_long_is_interrupted_and_its_engine_not_blamed(
    gateway, tmp_path
) -> None:
    async with ScriptedEngine([BEGUN]).serve(tmp_path / "s.sock") as other:
        peer = await streaming(gateway, other)
        for number in range(TOTAL // 20):
            gateway.advance(20)
            for connection in other.connections:
                connection.transport.write(chunk(content(f"piece {number};")))
            await peer.until(b"piece %d;" % number)
        assert gateway.proxy.live == 1
        gateway.advance(1)
        check_interrupted(await peer.last_response())
        assert last_end(gateway) == ("evicted", 200, "stream_interrupted", 1)
        assert gateway.replica()._failures == 0


async def test_the_queue_does_not_outlast_the_total(gateway, engine) -> None:
    """A call that waited in the body and the queue has no more than its total left."""
    peer = await gateway.connect()
    engine.fault("hang", at="arrival")
    raw = request(PLAIN)
    await peer.send(raw[:-5])
    await until(lambda: gateway.proxy.live == 1)
    gateway.advance(GRACE)
    await peer.send(raw[-5:])
    await until(lambda: engine.log)
    gateway.advance(TOTAL - GRACE - 1)
    assert gateway.proxy.live == 1
    gateway.advance(2)
    check(await peer.response(), 504, "timeout", "false")
