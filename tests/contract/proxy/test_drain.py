"""A gateway that stops: refuses what is new, lets what runs finish, and cuts what is left in good order."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from gateway import app
from tests.support.gateway import RunningGateway, endpoint, until
from tests.support.peer import Ending, Response, request
from tests.support.scripted import DONE, LAST_CHUNK, ScriptedEngine, chunk, content, stream

PLAIN: dict[str, Any] = {"model": "model", "messages": [{"role": "user", "content": "Say it."}]}
STREAM: dict[str, Any] = {**PLAIN, "stream": True}


def check_draining(answer: Response) -> None:
    assert answer.status == 503
    assert answer.json()["error"]["code"] == "shutting_down"
    assert answer.json()["error"]["type"] == "server_error"
    assert answer.header("x-should-retry") == "true"
    assert answer.header("retry-after") == "1"


def last_end(gateway: RunningGateway) -> tuple[str, int, str | None, int]:
    end = gateway.ends[-1]
    return end.outcome.value, end.status, end.code, end.attempts


async def test_new_calls_are_refused_and_their_connections_closed(gateway, engine) -> None:
    old = await gateway.connect()
    assert (await old.ask(request(PLAIN))).status == 200
    gateway.proxy.is_draining = True
    for peer in (old, await gateway.connect()):
        await peer.send(request(PLAIN))
        answer = await peer.last_response()
        check_draining(answer)
        assert answer.header("connection") == "close"
        assert answer.ending is Ending.FIN
    assert len(engine.log) == 1
    assert last_end(gateway) == ("rejected", 503, "shutting_down", 0)


async def test_a_gateway_that_is_about_to_stop_serves_and_lets_its_clients_go(gateway, engine) -> None:
    gateway.proxy.is_leaving = True
    peer = await gateway.connect()
    ready = await peer.ask(request(b"", path="/readyz", method="GET", headers=()))
    assert (ready.status, ready.json()["reason"]) == (503, "draining")
    await peer.send(request(PLAIN))
    answer = await peer.last_response()
    assert (answer.status, answer.header("connection")) == (200, "close")


@pytest.mark.parametrize("hurried", [False, True])
async def test_between_not_ready_and_refusing_there_is_a_delay_that_a_second_signal_ends(
    gateway, hurried
) -> None:
    stop = app.Stop()
    draining = asyncio.create_task(
        app.until_drained(gateway.proxy, 60.0, stop, delay=3600.0 if hurried else 0.01)
    )
    stop.asked.set()
    await until(lambda: gateway.proxy.is_leaving)
    if hurried:
        assert not gateway.proxy.is_draining
        stop.at_once.set()
    await asyncio.wait_for(draining, 10)
    assert gateway.proxy.is_draining


async def test_what_runs_and_what_waits_is_finished(gateway, tmp_path) -> None:
    engine = ScriptedEngine([stream(content("first"), last=b"")])
    async with engine.serve(tmp_path / "s.sock") as other:
        gateway.publish(endpoint(other.address, max_in_flight=1))
        running, waiting = [await gateway.connect() for _ in range(2)]
        await running.send(request(STREAM))
        await running.until(b"first")
        await waiting.send(request(STREAM))
        await until(lambda: gateway.waiting() == 1)
        gateway.proxy.is_draining = True
        gateway.advance(5)
        other.parts = [stream(content("second", finish="stop"), DONE)]
        for connection in tuple(other.connections):
            connection.transport.write(chunk(content("", finish="stop")) + chunk(DONE) + LAST_CHUNK)
        assert (await running.response()).is_complete
        answer = await waiting.last_response()
        assert answer.is_complete
        assert answer.header("connection") == "close"
        assert answer.events[0] == content("second", finish="stop")
        await gateway.settled()
        assert [end.outcome.value for end in gateway.ends] == ["ok", "ok"]


async def test_cut_ends_streams_in_band_and_the_rest_by_a_status(gateway, engine, tmp_path) -> None:
    scripted = ScriptedEngine([stream(content("first"), last=b"")])
    async with scripted.serve(tmp_path / "s.sock") as other:
        gateway.publish(
            endpoint(other.address, models={"model": "simulated"}, max_in_flight=1),
            endpoint(engine.address, id="silent", models={"silent": "simulated"}),
        )
        engine.fault("hang", at="arrival")
        streaming, waiting, silent, reading = [await gateway.connect() for _ in range(4)]
        await streaming.send(request(STREAM))
        await streaming.until(b"first")
        await waiting.send(request(STREAM))
        await until(lambda: gateway.waiting() == 1)
        await silent.send(request({**PLAIN, "model": "silent"}))
        await until(lambda: engine.log)
        await reading.send(request(PLAIN)[:-5])
        await until(lambda: gateway.proxy.live == 4)
        gateway.proxy.is_draining = True
        gateway.proxy.cut()
        answer = await streaming.last_response()
        assert not answer.is_complete
        assert answer.ending is Ending.FIN
        assert json.loads(answer.events[-1][6:])["error"]["code"] == "stream_interrupted"
        for peer in (waiting, reading):
            check_draining(await peer.response())
        given_up = await silent.response()
        assert (given_up.status, given_up.json()["error"]["code"]) == (503, "shutting_down")
        assert given_up.header("x-should-retry") == "false"  # an engine has worked on it
        await gateway.settled()
        await until(lambda: engine.log[0].end == "aborted" and not other.connections)
        assert len(other.requests) == 1


async def test_cut_completes_a_stream_whose_end_was_sent(gateway, tmp_path) -> None:
    raw = stream(content("x", finish="stop"), DONE, last=b"")
    async with ScriptedEngine([raw]).serve(tmp_path / "s.sock") as other:
        gateway.publish(endpoint(other.address))
        peer = await gateway.connect()
        await peer.send(request(STREAM))
        await peer.until(DONE)
        gateway.proxy.cut()
        answer = await peer.response()
        assert answer.is_complete
        assert answer.events[-1] == DONE
        assert last_end(gateway) == ("ok", 200, None, 1)


async def test_an_engine_that_goes_while_calls_wait_for_it_gives_them_up(gateway, engine) -> None:
    gateway.publish(endpoint(engine.address, max_in_flight=1))
    engine.fault("hang", at="arrival")
    first, second = [await gateway.connect() for _ in range(2)]
    await first.send(request(PLAIN))
    await until(lambda: engine.log)
    await second.send(request(PLAIN))
    await until(lambda: gateway.waiting() == 1)
    gateway.publish()
    answer = await second.response()
    assert answer.status == 503
    assert answer.json()["error"]["code"] == "model_unavailable"
    first.close()
    await gateway.settled()


async def test_waiting_calls_go_to_an_engine_that_appears(gateway, engine, tcp_engine) -> None:
    busy = endpoint(engine.address, max_in_flight=1)
    gateway.publish(busy)
    engine.fault("hang", at="arrival")
    first, second = [await gateway.connect() for _ in range(2)]
    await first.send(request(PLAIN))
    await until(lambda: engine.log)
    await second.send(request(PLAIN))
    await until(lambda: gateway.waiting() == 1)
    gateway.publish(busy, endpoint(tcp_engine.address, id="new"))
    assert (await second.response()).status == 200
    assert len(tcp_engine.log) == 1
    first.close()
    await gateway.settled()
