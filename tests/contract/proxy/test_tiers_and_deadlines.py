"""What a caller says of how urgent its request is, and until when it waits."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from config.schema import Config
from gateway.core.call import Tier
from gateway.fleet.endpoint import Condition
from tests.support.gateway import RunningGateway, endpoint, running, until
from tests.support.peer import Peer, Response, request

PLAIN: dict[str, Any] = {"model": "model", "messages": [{"role": "user", "content": 'say "data: {"'}]}
STREAM: dict[str, Any] = {**PLAIN, "stream": True, "stream_options": {"include_usage": True}}
LEGACY: dict[str, Any] = {"model": "model", "prompt": "Say it."}


async def asked(gateway: RunningGateway, body: Any, *headers: tuple[str, str], **how: Any) -> Response:
    return await (await gateway.connect()).ask(request(body, more_headers=headers, **how))


@pytest.mark.parametrize(
    ("wanted", "given"),
    [
        ("auto", "default"),
        ("default", "default"),
        ("scale", "default"),
        ("flex", "flex"),
        ("priority", "priority"),
        ("fast", "priority"),
    ],
)
async def test_an_answer_tells_the_tier_that_was_asked_for(gateway, wanted, given) -> None:
    whole = await asked(gateway, {**PLAIN, "service_tier": wanted})
    assert whole.json()["service_tier"] == given
    assert whole.body.count(b'"service_tier"') == 1
    assert gateway.ends[-1].trail.tier is Tier[given.upper()]


async def test_every_event_of_a_stream_tells_the_tier(gateway) -> None:
    plain = await asked(gateway, STREAM, ("x-request-id", "a"))
    tiered = await asked(gateway, {**STREAM, "service_tier": "flex"}, ("x-request-id", "a"))
    *events, done = tiered.events
    assert done == b"data: [DONE]\n\n"
    read = [json.loads(event[6:]) for event in events]
    assert [event.pop("service_tier") for event in read] == ["flex"] * len(events)
    before = [json.loads(event[6:]) for event in plain.events[:-1]]
    assert [event["choices"] for event in read] == [event["choices"] for event in before]


async def test_who_asks_for_no_tier_is_told_none(gateway) -> None:
    assert (await asked(gateway, PLAIN)).json()["service_tier"] is None
    assert b"service_tier" not in (await asked(gateway, STREAM)).body
    assert gateway.ends[-1].trail.tier is Tier.DEFAULT


async def test_a_completion_tells_it_too(gateway) -> None:
    answer = await asked(gateway, {**LEGACY, "service_tier": "flex"}, path="/v1/completions")
    assert answer.json()["service_tier"] == "flex"


async def test_a_tier_that_is_none_is_refused(gateway, engine) -> None:
    answer = await asked(gateway, {**PLAIN, "service_tier": "urgent"})
    assert answer.status == 400
    assert answer.json()["error"]["param"] == "service_tier"
    assert "'flex'" in answer.json()["error"]["message"]
    assert not engine.log


async def test_engines_get_a_tier_that_they_know_and_no_priority_unless_told_so(gateway, engine) -> None:
    await asked(gateway, {**PLAIN, "service_tier": "fast"})
    sent = json.loads(engine.log[-1].body)
    assert sent["service_tier"] == "priority"
    assert "priority" not in sent


@pytest.fixture
async def told(driver, engine, tmp_path) -> AsyncIterator[RunningGateway]:
    """Its engines are told the tier."""
    config = Config.model_validate({"auth": {"mode": "anonymous"}, "admission": {"engine_priority": True}})
    async with running(config, tmp_path / "told", driver, endpoint(engine.address)) as running_:
        yield running_


async def test_engines_are_told_the_tier_where_they_order_by_it(told, engine) -> None:
    for wanted, priority in (("flex", 1), ("default", None), ("priority", -1)):
        assert (await asked(told, {**PLAIN, "service_tier": wanted})).status == 200
        assert json.loads(engine.log[-1].body).get("priority") == priority
        assert json.loads(engine.log[-1].body)["model"] == "simulated"


@pytest.fixture
async def narrow(gateway: RunningGateway, engine: Any) -> RunningGateway:
    """A gateway whose engine has one slot, held."""
    gateway.publish(endpoint(engine.address, max_in_flight=1))
    engine.fault("hang", at="arrival", times=1)
    holder = await gateway.connect()
    await holder.send(request(PLAIN))
    await until(lambda: engine.log)
    return gateway


async def waiting(gateway: RunningGateway, *headers: tuple[str, str], **fields: Any) -> Peer:
    before = gateway.waiting()
    peer = await gateway.connect()
    await peer.send(request({**PLAIN, **fields}, more_headers=headers))
    await until(lambda: gateway.waiting() == before + 1)
    return peer


async def test_tiers_go_before_each_other(narrow, engine) -> None:
    for tier in ("flex", "default", "priority"):
        await waiting(narrow, ("x-request-id", tier), service_tier=tier)
    narrow.peers[0].close()
    await until(lambda: len(engine.log) == 4)
    served = [record.headers[b"x-request-id"].rpartition(b"-")[0].decode() for record in list(engine.log)[1:]]
    assert served == ["priority", "default", "flex"]


@pytest.mark.parametrize(
    "header", [("x-request-deadline-ms", "2500"), ("x-stainless-read-timeout", "2.5")], ids=lambda h: h[0]
)
async def test_a_request_waits_no_longer_than_its_client(narrow, engine, header) -> None:
    peer = await waiting(narrow, header)
    narrow.advance(2.4)
    assert narrow.waiting() == 1
    narrow.advance(0.2)
    answer = await peer.response()
    assert (answer.status, answer.json()["error"]["code"]) == (503, "overloaded")
    assert answer.header("x-should-retry") == "true"
    assert len(engine.log) == 1


@pytest.mark.parametrize(("usual", "latest"), [(0.5, 1.5), (100.0, 1.0)])
async def test_a_request_is_begun_early_enough_for_its_client_to_see_it(narrow, usual, latest) -> None:
    narrow.parts.catalog.resolve("model").usual_wait = usual
    peer = await waiting(narrow, ("x-request-deadline-ms", "2000"))
    narrow.advance(latest - 0.1)
    assert narrow.waiting() == 1
    narrow.advance(0.2)
    assert (await peer.response()).status == 503


async def test_the_shortest_time_counts(narrow) -> None:
    peer = await waiting(narrow, ("x-request-deadline-ms", "9000"), ("x-stainless-read-timeout", "3"))
    narrow.advance(3.1)
    assert (await peer.response()).status == 503
    patient = await waiting(narrow, ("x-request-deadline-ms", "900000"), ("x-stainless-read-timeout", "600"))
    narrow.advance(29.0)
    assert narrow.waiting() == 1
    narrow.advance(1.1)
    assert (await patient.response()).status == 503


async def test_a_deadline_is_one_of_the_whole_answer(gateway, engine) -> None:
    engine.fault("hang", at="arrival", times=2)
    patient = await gateway.connect()
    await patient.send(request(PLAIN, more_headers=[("x-stainless-read-timeout", "1")]))
    hasty = await gateway.connect()
    await hasty.send(request(PLAIN, more_headers=[("x-request-deadline-ms", "1000")]))
    await until(lambda: len(engine.log) == 2)
    gateway.advance(1.1)
    answer = await hasty.response()
    assert (answer.status, answer.json()["error"]["code"]) == (504, "timeout")
    assert gateway.proxy.live == 1


async def test_a_request_whose_time_is_over_is_not_sent(gateway, engine) -> None:
    answer = await asked(gateway, PLAIN, ("x-request-deadline-ms", "0"))
    assert (answer.status, answer.json()["error"]["code"]) == (504, "timeout")
    assert not engine.log


@pytest.mark.parametrize("value", ["soon", "-1", "1.5", "1" * 13])
async def test_a_deadline_that_is_no_number_is_refused(gateway, engine, value) -> None:
    answer = await asked(gateway, PLAIN, ("x-request-deadline-ms", value))
    assert answer.status == 400
    assert answer.json()["error"]["param"] == "x-request-deadline-ms"
    assert not engine.log


@pytest.mark.parametrize("value", ["NOT_GIVEN", "nan", "inf", "-3", "0"])
async def test_what_an_sdk_says_of_its_timeout_may_say_nothing(gateway, value) -> None:
    assert (await asked(gateway, PLAIN, ("x-stainless-read-timeout", value))).status == 200


async def test_a_request_waits_for_an_engine_that_starts_where_it_may(driver, engine, tmp_path) -> None:
    config = Config.model_validate(
        {"auth": {"mode": "anonymous"}, "admission": {"when_empty": "wait", "max_start_wait": 5}}
    )
    async with running(config, tmp_path / "data", driver) as gateway:
        gateway.publish(endpoint(engine.address), condition=Condition.STARTING)
        served, late = await gateway.connect(), await gateway.connect()
        await late.send(request(PLAIN))
        await until(lambda: gateway.waiting() == 1)
        gateway.advance(5.1)
        assert (await late.response()).status == 503
        await served.send(request(PLAIN))
        await until(lambda: gateway.waiting() == 1)
        gateway.publish(endpoint(engine.address))
        assert (await served.response()).status == 200
