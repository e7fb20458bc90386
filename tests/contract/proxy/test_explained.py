"""Each call leaves a record of how it came to its end, refused and failed ones too; each answer says where time went."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from config.schema import Config
from engines.simulated import SimulatedEngine
from gateway.explain import Record
from gateway.explain.phases import ended_by, phases
from tests.support.gateway import RunningGateway, endpoint, until
from tests.support.peer import request

PLAIN: dict[str, Any] = {
    "model": "model",
    "messages": [{"role": "user", "content": "a canary in the prompt"}],
}
STREAM: dict[str, Any] = {**PLAIN, "stream": True}
TIMING = re.compile(r"(?:queue;dur=\d+\.\d, )?(?:upstream;dur=\d+\.\d, )?total;dur=\d+\.\d")


async def records(gateway: RunningGateway) -> list[Record]:
    await gateway.settled()
    page = await gateway.parts.recorder.page(lambda _: True, limit=100)
    return [record for _, record in page.records]


@pytest.mark.parametrize("body", [PLAIN, STREAM], ids=["plain", "stream"])
async def test_an_answered_call_is_explained(gateway: RunningGateway, body: dict[str, Any]) -> None:
    peer = await gateway.connect()
    answer = await peer.ask(request(body, more_headers=[("x-request-id", "mine")]))
    [record] = await records(gateway)
    assert (record.id, record.outcome, record.replica, record.attempts) == ("mine", "ok", "engine-0", 1)
    assert (record.tenant, record.model, record.tier, record.fault) == ("anonymous", "model", 1, None)
    assert record.completion_tokens
    assert [phase.name for phase in phases(record)] == ["read", "first_content", "answer"]
    assert ended_by(record) == "engine"
    timing = answer.header("server-timing")
    assert timing is not None
    assert timing.startswith("queue;dur=0.0, upstream;dur=")
    assert TIMING.fullmatch(timing)


async def test_a_wait_in_the_queue_is_told_to_the_client_and_explained(
    gateway: RunningGateway, engine: SimulatedEngine
) -> None:
    gateway.publish(endpoint(engine.address, max_in_flight=1))
    engine.fault("hang", at="arrival", times=1)
    first, second = await gateway.connect(), await gateway.connect()
    await first.send(request(STREAM))
    await until(lambda: gateway.replica().in_flight == 1)
    await second.send(request(PLAIN))
    await until(gateway.waiting)
    gateway.clock.advance(2.5)
    first.close()
    answer = await second.response()
    assert answer.status == 200
    assert (answer.header("server-timing") or "").startswith("queue;dur=2500.0, upstream;dur=")
    newest = (await records(gateway))[0]
    assert newest.waited == 2.5
    assert [(phase.name, phase.end - phase.begin) for phase in phases(newest)][1] == ("queue", 2.5)


async def test_a_moved_call_names_each_attempt_and_why_it_ended(
    gateway: RunningGateway, engine: SimulatedEngine, tcp_engine: SimulatedEngine, tmp_path: Any
) -> None:
    gateway.publish(endpoint(f"unix:{tmp_path}/nobody", id="gone"), endpoint(engine.address, id="there"))
    peer = await gateway.connect()
    for _ in range(2):  # each of the two is the first choice once
        assert (await peer.ask(request(PLAIN))).status == 200
    moved = next(record for record in await records(gateway) if record.former)
    [attempt] = moved.former
    assert (attempt.replica, attempt.why, moved.replica, moved.fault) == ("gone", "refused", "there", None)
    assert attempt.choice is not None
    assert {each[0] for each in attempt.choice.candidates} == {"gone", "there"}


async def test_a_failed_call_names_the_fault(gateway: RunningGateway, tmp_path: Any) -> None:
    gateway.publish(endpoint(f"unix:{tmp_path}/nobody"))
    answer = await (await gateway.connect()).ask(request(PLAIN))
    assert answer.status == 502
    [record] = await records(gateway)
    assert (record.outcome, record.fault, record.code) == (
        "upstream_error",
        "refused",
        "upstream_unreachable",
    )
    assert TIMING.fullmatch(answer.header("server-timing") or "")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({**PLAIN, "model": "none"}, "model_not_found"),
        ({**PLAIN, "messages": 5}, "invalid_request"),
        ({**PLAIN, "cache_salt": "x"}, "field_not_allowed"),
    ],
)
async def test_a_refused_call_is_explained(gateway: RunningGateway, body: dict[str, Any], code: str) -> None:
    answer = await (await gateway.connect()).ask(request(body))
    [record] = await records(gateway)
    assert (record.code, record.attempts, ended_by(record)) == (code, 0, "gateway")
    assert (answer.header("server-timing") or "").startswith("total;dur=")


class TestWithKeys:
    @pytest.fixture
    def config(self) -> Config:
        return Config()

    async def test_a_call_without_a_good_key_is_explained_without_the_key(
        self, gateway: RunningGateway
    ) -> None:
        headers = [("authorization", "Bearer gw_local_canary"), ("x-request-id", "mine")]
        answer = await (await gateway.connect()).ask(request(PLAIN, more_headers=headers))
        assert answer.status == 401
        [record] = await records(gateway)
        assert (record.id, record.tenant, record.key, record.code) == ("mine", None, None, "invalid_api_key")
        assert "canary" not in json.dumps(record)


async def test_a_client_that_leaves_is_named_as_who_ended_it(
    gateway: RunningGateway, engine: SimulatedEngine
) -> None:
    engine.fault("hang", at="arrival", times=1)
    peer = await gateway.connect()
    await peer.send(request(STREAM))
    await until(lambda: gateway.replica().in_flight == 1)
    peer.close()
    [record] = await records(gateway)
    assert (record.outcome, ended_by(record)) == ("client_gone", "client")
    assert "a canary" not in json.dumps(record)
