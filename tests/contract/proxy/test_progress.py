"""An engine whose server answers while its core does nothing: what it holds goes to others (F16), and health says nothing."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.fleet.load import Load
from gateway.fleet.replica import STUCK_SECONDS
from tests.support.gateway import RunningGateway, endpoint, until
from tests.support.peer import request

PLAIN: dict[str, Any] = {"model": "model", "messages": [{"role": "user", "content": "Say it."}]}
STREAM: dict[str, Any] = {**PLAIN, "stream": True}


def look(gateway: RunningGateway, steps: float | None, *, running: float = 1.0) -> None:
    """A page of the engine `stuck` is there, and time goes on for a second and more."""
    if steps is not None:
        load = Load(running=running, waiting=0.0, steps=steps)
        gateway.replica("stuck").saw(load, gateway.clock())
    gateway.advance(1.2)


async def held(
    gateway: RunningGateway, engine: Any, tcp_engine: Any, body: dict[str, Any], **fault: Any
) -> Any:
    """A call that the engine `stuck` holds, while `well` may be given others."""
    engine.fault("hang", **fault)
    gateway.publish(endpoint(engine.address, id="stuck"))
    peer = await gateway.connect()
    await peer.send(request(body))
    await until(lambda: engine.log)
    if fault["at"] != "arrival":
        await until(lambda: [each for each in gateway.proxy._live if each.state.value == "streaming"])
    gateway.publish(endpoint(engine.address, id="stuck"), endpoint(tcp_engine.address, id="well"))
    return peer


@pytest.mark.parametrize("body", [PLAIN, STREAM], ids=["whole", "stream"])
async def test_a_call_that_a_stuck_engine_holds_is_answered_by_another(
    gateway, engine, tcp_engine, body
) -> None:
    peer = await held(gateway, engine, tcp_engine, body, at="arrival")
    for _ in range(int(STUCK_SECONDS / 1.2) + 2):
        look(gateway, 7.0)
    answer = await peer.response()
    assert answer.status == 200
    assert gateway.ends[-1].replica == "well"
    assert gateway.ends[-1].attempts == 2
    stuck = gateway.replica("stuck")
    assert stuck.is_stuck
    assert gateway.parts.catalog.resolve("model").candidates(gateway.clock()) == [gateway.replica("well")]
    await gateway.settled()
    await until(lambda: not engine.connections)


async def test_a_stream_that_a_stuck_engine_began_ends_in_band(gateway, engine, tcp_engine) -> None:
    peer = await held(gateway, engine, tcp_engine, STREAM, at="events", after_events=3)
    for _ in range(int(STUCK_SECONDS / 1.2) + 2):
        look(gateway, 7.0)
    answer = await peer.response()
    assert b"stream_interrupted" in answer.body
    assert b"[DONE]" not in answer.body
    assert len(tcp_engine.log) == 0
    await gateway.settled()


@pytest.mark.parametrize("pages", ["none", "steps go on"])
async def test_without_proof_a_slow_call_is_left_alone(gateway, engine, tcp_engine, pages) -> None:
    peer = await held(gateway, engine, tcp_engine, PLAIN, at="arrival")
    for count in range(20):
        look(gateway, None if pages == "none" else float(count))
    assert gateway.proxy.live == 1
    assert not gateway.replica("stuck").is_stuck
    assert len(tcp_engine.log) == 0
    peer.close()
    await gateway.settled()
