"""A client that reads slower than the engine writes: the engine is held back, and nothing piles up here."""

from __future__ import annotations

import json
from typing import Any

from tests.support.gateway import Driver, RunningGateway, endpoint, until
from tests.support.peer import Ending, Peer, request
from tests.support.scripted import (
    DONE,
    LAST_CHUNK,
    PLAIN_BODY,
    STREAM_HEAD,
    ScriptedEngine,
    chunk,
    content,
    whole,
)

PLAIN: dict[str, Any] = {"model": "model", "messages": [{"role": "user", "content": "Say it."}]}
STREAM: dict[str, Any] = {**PLAIN, "stream": True}
STALL = 30
PIECES = [content(f"{number:06d}" + "x" * 4090) for number in range(2000)]
"""8 MB of events: more than the buffers of the four sockets on the way take."""
LONG = [STREAM_HEAD, *map(chunk, PIECES), chunk(content("", finish="stop")), chunk(DONE), LAST_CHUNK]
MOST_HELD_BYTES = 1 << 20


def unread_of(engine: ScriptedEngine) -> int:
    """What the engine could not get rid of: parts not begun."""
    return sum(len(connection.parts) for connection in engine.connections)


def held_bytes(gateway: RunningGateway) -> int:
    """What the gateway's own sockets hold back for its clients."""
    return sum(each.transport.get_write_buffer_size() for each in gateway.connections)


async def paused(gateway: RunningGateway, other: ScriptedEngine) -> Peer:
    """A client that reads nothing, until everything on the way to it stands still."""
    gateway.publish(endpoint(other.address))
    peer = await gateway.connect(receive_bytes=4096)
    await peer.send(request(STREAM))
    await until(lambda: [each for each in gateway.proxy._live if each._paused_at is not None])
    await until(lambda: [each for each in other.connections if each.transport.get_write_buffer_size()])
    return peer


async def test_a_client_that_does_not_read_stops_the_engine_and_is_dropped(gateway, tmp_path) -> None:
    async with ScriptedEngine(LONG).serve(tmp_path / "s.sock") as other:
        peer = await paused(gateway, other)
        assert unread_of(other) > 500
        assert held_bytes(gateway) < MOST_HELD_BYTES
        gateway.advance(STALL - 1)
        assert gateway.proxy.live == 1
        gateway.advance(2)
        await gateway.settled()
        end = gateway.ends[-1]
        assert (end.outcome.value, end.status, end.attempts) == ("client_gone", 200, 1)
        await until(lambda: not other.connections)
        if gateway.driver is Driver.EDGE:
            await until(lambda: not gateway.connections)
        peer.widen()
        assert not (await peer.last_response()).is_complete
        assert gateway.replica()._failures == 0


async def test_a_client_that_reads_on_gets_every_byte(gateway, tmp_path) -> None:
    async with ScriptedEngine(LONG).serve(tmp_path / "s.sock") as other:
        peer = await paused(gateway, other)
        gateway.advance(STALL - 1)
        peer.widen()
        most = 0
        while not peer.buffer.endswith(LAST_CHUNK):
            assert await peer.more(1 << 20)
            most = max(most, held_bytes(gateway))
            gateway.advance(0.1)
        assert most < MOST_HELD_BYTES
        answer = await peer.response()
        assert answer.is_complete
        assert answer.body == b"".join([*PIECES, content("", finish="stop"), DONE])
        await gateway.settled()
        assert gateway.ends[-1].outcome.value == "ok"


async def test_what_is_held_for_a_client_still_reaches_it_when_the_stream_breaks(gateway, tmp_path) -> None:
    """Dropping the connection would drop the error with it, and short text would be all that is left to see."""
    async with ScriptedEngine(LONG).serve(tmp_path / "s.sock") as other:
        peer = await paused(gateway, other)
        assert held_bytes(gateway) > 10_000
        gateway.proxy.cut()
        peer.widen()
        answer = await peer.last_response()
        assert not answer.is_complete
        assert answer.ending is Ending.FIN
        events = answer.events
        assert json.loads(events[-1][6:])["error"]["code"] == "stream_interrupted"
        assert events[:-1] == PIECES[: len(events) - 1]


async def test_a_slow_client_is_bounded_by_the_total_too(gateway, tmp_path) -> None:
    """It reads a little all the time, so it never stalls."""
    async with ScriptedEngine(LONG).serve(tmp_path / "s.sock") as other:
        await paused(gateway, other)
        (exchange,) = gateway.proxy._live
        for _ in range(30):
            gateway.advance(20)
            assert gateway.proxy.live == 1
            exchange.writable(True)  # it took something,
            exchange.writable(False)  # and is full again
        gateway.advance(1)
        await gateway.settled()
        assert gateway.ends[-1].outcome.value == "evicted"
        await until(lambda: not other.connections)
        assert gateway.replica()._failures == 0


async def test_a_slow_client_costs_its_engine_no_other_call(gateway, tmp_path) -> None:
    async with ScriptedEngine(LONG).serve(tmp_path / "s.sock") as other:
        await paused(gateway, other)
        other.parts = [whole(PLAIN_BODY)]
        quick = await gateway.connect()
        assert (await quick.ask(request(PLAIN))).status == 200


BIG = whole(json.dumps({"choices": [{"message": {"content": "x" * 8_000_000}}]}).encode())


async def test_the_next_request_on_a_connection_that_is_not_read_waits_until_it_is(gateway, tmp_path) -> None:
    """The connection is full from a whole answer; the stream behind it must not be piled on top."""
    async with ScriptedEngine([BIG]).serve(tmp_path / "s.sock") as other:
        gateway.publish(endpoint(other.address))
        peer = await gateway.connect(receive_bytes=4096)
        await peer.send(request(PLAIN))
        await until(lambda: gateway.ends)
        (connection,) = gateway.connections
        assert connection.flow.read_paused
        other.parts = LONG
        await peer.send(request(STREAM))
        peer.widen()
        first = await peer.response()
        second = await peer.response()
        assert len(other.requests) == 2
        assert first.raw.endswith(b"x" * 100 + b'"}}]}')
        assert second.body.endswith(DONE)
        assert len(second.events) == len(PIECES) + 2
        await gateway.settled()
