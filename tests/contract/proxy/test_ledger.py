"""What the ledger says of a call, through the sockets of either driver."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.gateway import endpoint, running, until
from tests.support.peer import Ending, request
from tests.support.scripted import ROLE, ScriptedEngine, content, stream, whole
from tests.support.usage import Kept

PLAIN: dict[str, Any] = {"model": "model", "messages": [{"role": "user", "content": "Say it."}]}
STREAM: dict[str, Any] = {**PLAIN, "stream": True}
BOTH = pytest.mark.parametrize("body", [PLAIN, STREAM], ids=["plain", "stream"])


@pytest.fixture
def records() -> Kept:
    return Kept()


@pytest.fixture
async def gateway(driver, engine, config, records, tmp_path):
    async with running(config, tmp_path / "data", driver, endpoint(engine.address), sink=records) as made:
        yield made


@BOTH
async def test_a_call_is_recorded_with_the_engines_own_count(gateway, engine, records, body) -> None:
    peer = await gateway.connect()
    await peer.send(request(body, more_headers=[("x-request-id", "mine")]))
    await until(lambda: records.ended)
    (record,) = records.ended
    assert (record.who.request_id, record.who.team, record.who.stream) == (
        "mine",
        "anonymous",
        body is STREAM,
    )
    assert record.outcome == "ok"
    assert record.prompt_tokens > 0
    assert record.completion_tokens > 0
    assert not record.estimated
    assert [each.id for each in records.began] == [record.id]


@BOTH
async def test_the_record_is_open_before_the_engine_is_asked(gateway, engine, records, body) -> None:
    engine.fault("hang", at="arrival")
    peer = await gateway.connect()
    await peer.send(request(body))
    await until(lambda: engine.log)
    assert len(records.open()) == 1
    peer.close()
    await until(lambda: records.ended)
    (record,) = records.ended
    assert (record.outcome, record.completion_tokens, record.estimated) == ("client_gone", 0, True)


async def test_what_reaches_no_engine_has_no_record(gateway, records) -> None:
    peer = await gateway.connect()
    await peer.send(request({**PLAIN, "model": "none"}))
    assert (await peer.response()).status == 404
    gateway.publish()
    await peer.send(request(PLAIN))
    await gateway.settled()
    assert records.records == []


async def test_what_cannot_be_recorded_is_refused_and_served_again_later(gateway, engine, records) -> None:
    records.is_full = True
    peer = await gateway.connect()
    await peer.send(request(PLAIN))
    answer = await peer.response()
    assert (answer.status, answer.header("x-should-retry")) == (503, "true")
    assert answer.json()["error"]["code"] == "store_unavailable"
    assert len(engine.log) == 0
    records.is_full = False
    await peer.send(request(PLAIN))
    assert (await peer.response()).status == 200


async def test_a_stream_that_breaks_is_estimated_by_what_came(config, driver, records, tmp_path) -> None:
    events = [ROLE, *(content(text) for text in "abcde")]
    async with (
        ScriptedEngine([stream(*events, last=b"")], Ending.FIN).serve(tmp_path / "e") as engine,
        running(config, tmp_path, driver, endpoint(engine.address), sink=records) as gateway,
    ):
        peer = await gateway.connect()
        await peer.send(request(STREAM))
        await until(lambda: records.ended)
    (record,) = records.ended
    assert (record.outcome, record.completion_tokens, record.estimated) == ("upstream_error", 5, True)
    assert record.prompt_tokens > 0


async def test_a_stream_says_how_far_it_is(config, driver, records, tmp_path) -> None:
    events = [ROLE, *(content(text) for text in "abc")]
    async with (
        ScriptedEngine([stream(*events, last=b"")], Ending.OPEN).serve(tmp_path / "e") as engine,
        running(config, tmp_path, driver, endpoint(engine.address), sink=records) as gateway,
    ):
        peer = await gateway.connect()
        await peer.send(request(STREAM))
        await until(lambda: gateway.advance(0.5) or records.progress)
        await until(lambda: gateway.advance(0.1) or records.progress[-1].tokens == 3)
        gateway.advance(0.5)
        assert len({each.tokens for each in records.progress}) == len(records.progress)


async def test_what_the_engine_refuses_is_recorded_without_tokens(config, driver, records, tmp_path) -> None:
    refusal = whole(b'{"error":{"message":"no","type":"BadRequestError","code":400}}', status=400)
    async with (
        ScriptedEngine([refusal]).serve(tmp_path / "e") as engine,
        running(config, tmp_path, driver, endpoint(engine.address), sink=records) as gateway,
    ):
        peer = await gateway.connect()
        await peer.send(request(PLAIN))
        await until(lambda: records.ended)
    (record,) = records.ended
    assert (record.outcome, record.prompt_tokens, record.estimated) == ("client_error", 0, False)
