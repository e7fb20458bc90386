"""A client that leaves, in every phase: the engine is told at once and nothing stays held."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from config.schema import Config
from tests.support.blackhole import blackhole
from tests.support.gateway import RunningGateway, endpoint, running, until
from tests.support.peer import Peer, request
from tests.support.scripted import DONE, ROLE, STREAM_HEAD, ScriptedEngine, chunk, content, stream

PLAIN: dict[str, Any] = {"model": "model", "messages": [{"role": "user", "content": "Say it."}]}
STREAM: dict[str, Any] = {**PLAIN, "stream": True}
BOTH = pytest.mark.parametrize("body", [PLAIN, STREAM], ids=["plain", "stream"])
LEAVE = pytest.mark.parametrize("leave", [Peer.close, Peer.reset], ids=["fin", "rst"])


def last_end(gateway: RunningGateway) -> tuple[str, int, str | None, int]:
    end = gateway.ends[-1]
    return end.outcome.value, end.status, end.code, end.attempts


async def test_gone_while_the_head_arrives(gateway, engine) -> None:
    peer = await gateway.connect()
    await peer.send(b"POST /v1/chat/completions HTTP/1.1\r\nhost")
    await until(lambda: gateway.connections)
    peer.close()
    await until(lambda: not gateway.connections)
    assert gateway.ends == []


@LEAVE
async def test_gone_while_the_body_arrives(gateway, engine, leave) -> None:
    peer = await gateway.connect()
    await peer.send(request(PLAIN)[:-10])
    await until(lambda: gateway.proxy.live == 1)
    leave(peer)
    await gateway.settled()
    assert last_end(gateway) == ("client_gone", 499, None, 0)
    assert len(engine.log) == 0


@LEAVE
@BOTH
async def test_gone_while_the_engine_is_silent(gateway, engine, body, leave) -> None:
    engine.fault("hang", at="arrival")
    peer = await gateway.connect()
    await peer.send(request(body))
    await until(lambda: engine.log)
    leave(peer)
    await until(lambda: engine.log[0].end == "aborted")
    await gateway.settled()
    assert last_end(gateway) == ("client_gone", 499, None, 1)


@BOTH
async def test_gone_while_the_engine_generates(gateway, engine, body) -> None:
    engine.script(ttft_ms=60_000)
    peer = await gateway.connect()
    await peer.send(request(body))
    await until(lambda: engine.running == 1)
    peer.close()
    await until(lambda: engine.running == 0)
    assert engine.log[0].end == "aborted"
    await gateway.settled()
    assert last_end(gateway) == ("client_gone", 499, None, 1)


@LEAVE
async def test_gone_while_streaming(gateway, engine, leave) -> None:
    engine.script(tokens=1000, itl_ms=5)
    peer = await gateway.connect()
    await peer.send(request(STREAM))
    await peer.until(b'"content":"')
    leave(peer)
    await until(lambda: engine.log[0].end == "aborted")
    await gateway.settled()
    assert last_end(gateway) == ("client_gone", 200, None, 1)
    assert engine.running == 0


async def test_gone_while_a_connection_is_made(driver, tmp_path) -> None:
    patient = Config.model_validate({"auth": {"mode": "anonymous"}, "timeouts": {"connect": 600.0}})
    with blackhole() as address:
        async with running(patient, tmp_path / "data", driver, endpoint(address)) as gateway:
            peer = await gateway.connect()
            await peer.send(request(PLAIN))
            await until(lambda: gateway.replica().in_flight == 1)
            assert len(gateway.parts.transport._connecting) == 1
            peer.close()
            await gateway.settled()
            await until(lambda: not gateway.parts.transport._connecting)
            assert last_end(gateway) == ("client_gone", 499, None, 1)


async def test_gone_before_the_events_that_carry_content(gateway, tmp_path) -> None:
    async with ScriptedEngine([STREAM_HEAD + chunk(ROLE)]).serve(tmp_path / "s.sock") as other:
        gateway.publish(endpoint(other.address))
        peer = await gateway.connect()
        await peer.send(request(STREAM))
        await until(lambda: [each for each in gateway.proxy._live if each.state.value == "head"])
        peer.close()
        await until(lambda: not other.connections)
        await gateway.settled()
        assert last_end(gateway) == ("client_gone", 499, None, 1)


async def test_gone_after_done_is_an_answer_that_was_given(gateway, tmp_path) -> None:
    raw = stream(content("x", finish="stop"), DONE, last=b"")
    async with ScriptedEngine([raw]).serve(tmp_path / "s.sock") as other:
        gateway.publish(endpoint(other.address))
        peer = await gateway.connect()
        await peer.send(request(STREAM))
        await peer.until(DONE)
        peer.close()
        await gateway.settled()
        assert last_end(gateway) == ("ok", 200, None, 1)
        await until(lambda: not other.connections)


async def test_an_abort_is_no_failure_of_the_engines(gateway, engine) -> None:
    engine.fault("hang", at="arrival", times=5)
    for number in range(5):
        peer = await gateway.connect()
        await peer.send(request(STREAM))
        await until(lambda: len(engine.log) == number + 1)  # noqa: B023 - awaited before the next
        peer.close()
        await gateway.settled()
    assert not gateway.replica().is_ejected(gateway.clock())
    assert (await (await gateway.connect()).ask(request(PLAIN))).status == 200


@pytest.fixture
def narrow(gateway: RunningGateway, engine: Any) -> RunningGateway:
    """A gateway whose engine takes one call at a time."""
    gateway.publish(endpoint(engine.address, max_in_flight=1))
    return gateway


async def test_gone_while_queued_is_never_dispatched_and_frees_its_place(narrow, engine) -> None:
    engine.fault("hang", at="arrival", times=1)
    first, second, third = [await narrow.connect() for _ in range(3)]
    await first.send(request(PLAIN))
    await until(lambda: engine.log)
    await second.send(request(STREAM))
    await until(lambda: narrow.waiting() == 1)
    await third.send(request(PLAIN, more_headers=[("x-request-id", "third")]))
    await until(lambda: narrow.waiting() == 2)
    second.close()
    await until(lambda: narrow.waiting() == 1)
    assert last_end(narrow) == ("client_gone", 499, None, 0)
    first.close()
    assert (await third.response()).status == 200
    await narrow.settled()
    assert len(engine.log) == 2
    assert engine.log[1].headers[b"x-request-id"].startswith(b"third-")


async def test_those_who_wait_are_served_in_order(narrow, engine) -> None:
    engine.fault("hang", at="arrival", times=1)
    first = await narrow.connect()
    await first.send(request(PLAIN))
    await until(lambda: engine.log)
    peers = []
    for number in range(5):
        peer = await narrow.connect()
        await peer.send(request(PLAIN, more_headers=[("x-request-id", f"r{number}")]))
        await until(lambda: narrow.waiting() == number + 1)  # noqa: B023 - awaited before the next
        peers.append(peer)
    first.close()
    for peer in peers:
        assert (await peer.response()).status == 200
    served = [record.headers[b"x-request-id"][:2].decode() for record in engine.log][1:]
    assert served == [f"r{number}" for number in range(5)]
    await narrow.settled()


async def test_a_full_queue_refuses_at_once(driver, engine, tmp_path) -> None:
    config = Config.model_validate({"auth": {"mode": "anonymous"}, "admission": {"max_queue": 1}})
    where = endpoint(engine.address, max_in_flight=1)
    async with running(config, tmp_path / "data", driver, where) as gateway:
        engine.fault("hang", at="arrival")
        peers = [await gateway.connect() for _ in range(3)]
        await peers[0].send(request(PLAIN))
        await until(lambda: engine.log)
        await peers[1].send(request(PLAIN))
        await until(lambda: gateway.waiting() == 1)
        answer = await peers[2].ask(request(PLAIN))
        assert answer.status == 503
        assert answer.json()["error"]["code"] == "overloaded"
        assert answer.header("x-should-retry") == "true"
        assert answer.header("retry-after") == "1"
        assert len(engine.log) == 1


async def test_many_that_leave_at_random_leak_nothing(narrow, engine) -> None:
    rng = random.Random(7)
    engine.script(ttft_ms=1, itl_ms=0.5, tokens=4)

    async def one(number: int) -> None:
        peer = await narrow.connect()
        raw = request({**PLAIN, "stream": number % 2 == 0})
        await peer.send(raw[: rng.choice([len(raw) // 2, len(raw), len(raw)])])
        for _ in range(rng.randrange(12)):
            await asyncio.sleep(rng.random() * 0.004)
        (peer.close if rng.random() < 0.5 else peer.reset)()

    await asyncio.gather(*(one(number) for number in range(60)))
    await narrow.settled()
    await until(lambda: engine.running == 0 and engine.waiting == 0)
    ids = [end.request_id for end in narrow.ends]
    assert len(set(ids)) == len(ids) > 20  # some leave before their head is read: those never were calls
    assert narrow.replica().in_flight == 0
    peer = await narrow.connect()
    assert (await peer.ask(request(PLAIN))).status == 200
