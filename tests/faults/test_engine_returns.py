"""An engine that was away and is back, when it is needed: it is used, however often it was away (F1, F24, G7)."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.schema import Config
from engines.simulated import SimulatedEngine
from tests.faults.asking import body
from tests.support.gateway import Driver, RunningGateway, endpoint, running
from tests.support.peer import request

ASK = request(body(tokens=2, stream=False))


async def status(gateway: RunningGateway) -> int:
    """Of one call on a connection of its own."""
    peer = await gateway.connect()
    answer = await peer.ask(ASK)
    peer.close()
    return answer.status


@pytest.mark.parametrize("times", [1, 4])
async def test_an_engine_that_is_back_takes_over_when_the_last_other_dies(
    driver: Driver, tmp_path: Path, times: int
) -> None:
    """Discovery sees that it answers; that it refused a connection some seconds ago is no reason to refuse a call."""
    config = Config.model_validate({"auth": {"mode": "anonymous"}})
    paths = [tmp_path / name for name in "ab"]
    first, second = (SimulatedEngine() for _ in paths)
    endpoints = [endpoint(f"unix:{path}", id=path.name) for path in paths]
    async with running(config, tmp_path / "data", driver, *endpoints) as gateway, second.serve(uds=paths[1]):
        for _ in range(times):
            gateway.advance(61)
            for _ in endpoints:  # in turn: one of them meets the engine that is away
                assert await status(gateway) == 200
        assert gateway.replica("a").is_ejected(gateway.clock())
        async with first.serve(uds=paths[0]):
            gateway.publish(*endpoints)
            gateway.advance(3)
            await second.stop()
            assert [await status(gateway) for _ in range(4)] == [200] * 4
