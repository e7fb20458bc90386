"""What an engine is sent of whose salt, on the first dispatch and on the next, and that no client can send one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from config.schema import Config
from engines.simulated import SimulatedEngine
from tests.support.gateway import RunningGateway, endpoint
from tests.support.peer import request

TEAM = {"auth": {"mode": "anonymous"}}
PLAIN: dict[str, Any] = {"model": "model", "messages": [{"role": "user", "content": "Say it."}]}


def salts(engine: SimulatedEngine) -> list[str | None]:
    return [json.loads(asked.body).get("cache_salt") for asked in engine.log]


@pytest.fixture
def config() -> Config:
    return Config.model_validate(TEAM)


@pytest.mark.parametrize("public", ["model", "simulated"])
async def test_each_request_of_a_team_has_its_salt(
    gateway: RunningGateway, engine: SimulatedEngine, public: str
) -> None:
    gateway.publish(endpoint(engine.address, models={public: "simulated"}))
    peer = await gateway.connect()
    for body in (PLAIN, {**PLAIN, "stream": True}, {**PLAIN, "service_tier": "flex"}):
        assert (await peer.ask(request({**body, "model": public}))).status == 200
    [first, *others] = salts(engine)
    assert first is not None
    assert others == [first, first]
    sent = json.loads(engine.log[0].body)
    assert (sent["model"], sent["messages"]) == ("simulated", PLAIN["messages"])


async def test_what_is_sent_again_has_the_same_salt(
    gateway: RunningGateway, engine: SimulatedEngine, tcp_engine: SimulatedEngine
) -> None:
    gateway.publish(endpoint(engine.address, id="a"), endpoint(tcp_engine.address, id="b"))
    for each in (engine, tcp_engine):
        each.fault("status", status=500, times=1)
    peer = await gateway.connect()
    await peer.ask(request(PLAIN))
    await peer.ask(request(PLAIN))
    found = salts(engine) + salts(tcp_engine)
    assert len(found) >= 3
    assert len(set(found)) == 1
    assert None not in found


class TestShared:
    @pytest.fixture
    def config(self) -> Config:
        return Config.model_validate({**TEAM, "isolation": {"share_prefixes": "all"}})

    async def test_no_salt_is_sent_where_all_share(
        self, gateway: RunningGateway, engine: SimulatedEngine
    ) -> None:
        assert (await (await gateway.connect()).ask(request(PLAIN))).status == 200
        assert salts(engine) == [None]


async def test_a_client_cannot_send_a_salt(gateway: RunningGateway, engine: SimulatedEngine) -> None:
    answer = await (await gateway.connect()).ask(request({**PLAIN, "cache_salt": "of another"}))
    assert (answer.status, answer.json()["error"]["param"]) == (400, "cache_salt")
    assert not engine.log


class TestStripped:
    @pytest.fixture
    def config(self) -> Config:
        return Config.model_validate({**TEAM, "requests": {"privileged_fields": "strip"}})

    async def test_nor_where_it_is_left_out_in_place_of_refused(
        self, gateway: RunningGateway, engine: SimulatedEngine
    ) -> None:
        peer = await gateway.connect()
        await peer.ask(request(PLAIN))
        await peer.ask(request({**PLAIN, "cache_salt": "of another"}))
        [ours, theirs] = salts(engine)
        assert ours == theirs
        assert engine.log[1].body.count(b"cache_salt") == 1
