"""Names that more than one model serves: splits, fallbacks, and what callers are told of them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from config.paths import Paths
from config.schema import Config
from engines.simulated import Options, SimulatedEngine
from gateway.admission import Bounds
from gateway.auth.keys import KeyFile
from gateway.core.outcome import Outcome
from gateway.fleet.endpoint import Condition, Endpoint, Sighting
from tests.support.gateway import Driver, RunningGateway, endpoint, running, until
from tests.support.peer import request
from tests.support.usage import Kept

PLAIN: dict[str, Any] = {"model": "model", "messages": [{"role": "user", "content": "Say it."}]}
STREAM: dict[str, Any] = {**PLAIN, "stream": True}
BOTH = pytest.mark.parametrize("body", [PLAIN, STREAM], ids=["plain", "stream"])


@pytest.fixture
async def other(tmp_path: Path) -> AsyncIterator[SimulatedEngine]:
    """An engine that serves another model."""
    async with SimulatedEngine(Options(model="other-weights")).serve(uds=tmp_path / "other.sock") as made:
        yield made


@pytest.fixture
def models() -> dict[str, Any]:
    return {"model": {"fallbacks": ["other", "third"]}}


@pytest.fixture
def more() -> dict[str, Any]:
    """More of the configuration."""
    return {}


@pytest.fixture
def config(models: dict[str, Any], more: dict[str, Any]) -> Config:
    return Config.model_validate(
        {
            "auth": {"mode": "anonymous"},
            "isolation": {"share_prefixes": "all"},
            "models": models,
            **more,
        }
    )


@pytest.fixture
def records() -> Kept:
    return Kept()


@pytest.fixture
async def gateway(
    driver: Driver,
    engine: SimulatedEngine,
    other: SimulatedEngine,
    config: Config,
    records: Kept,
    tmp_path: Path,
) -> AsyncIterator[RunningGateway]:
    both = (endpoint(engine.address), second(other))
    async with running(config, tmp_path / "data", driver, *both, sink=records) as made:
        yield made


def second(engine: SimulatedEngine, **fields: Any) -> Endpoint:
    return endpoint(engine.address, id="engine-1", models={"other": "other-weights"}, **fields)


async def ask(gateway: RunningGateway, body: dict[str, Any] = PLAIN, **headers: str) -> Any:
    named = [(name.replace("_", "-"), value) for name, value in headers.items()]
    return await (await gateway.connect()).ask(request(body, more_headers=named))


def down(gateway: RunningGateway, engine: SimulatedEngine, other: SimulatedEngine) -> None:
    """Take the first engine out."""
    gateway.parts.catalog.publish(
        "test", [Sighting(endpoint(engine.address), Condition.DOWN), Sighting(second(other), Condition.READY)]
    )


async def told(gateway: RunningGateway) -> str:
    """What the gateway says of itself."""
    transport = httpx.ASGITransport(app=gateway.parts.admin)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        return (await client.get("/metrics")).text


class TestFallbacks:
    @BOTH
    async def test_a_model_without_a_replica_is_stood_in_for(
        self, gateway, engine, other, records, body
    ) -> None:
        down(gateway, engine, other)
        answer = await ask(gateway, body)
        assert answer.status == 200
        assert answer.header("x-cascadia-model") == "other"
        assert b'"model":"other"' in answer.body.replace(b": ", b":")
        assert b"other-weights" not in answer.body
        await until(lambda: records.ended)
        (record,) = records.ended
        assert (record.who.model, record.who.asked, record.outcome) == ("other", "model", "ok")
        (end,) = gateway.ends
        assert (end.model, end.asked, end.trail.left) == ("other", "model", (("model", "model_unavailable"),))

    async def test_an_answer_of_the_model_itself_is_as_ever(self, gateway) -> None:
        answer = await ask(gateway)
        assert (answer.status, answer.json()["model"]) == (200, "model")
        assert answer.header("x-cascadia-model") == "model"

    @BOTH
    @pytest.mark.parametrize("at", ["arrival", "events"])
    async def test_what_its_engine_fails_before_content_goes_on(
        self, gateway, engine, other, records, body, at
    ) -> None:
        engine.fault("close", at=at)
        answer = await ask(gateway, body)
        assert (answer.status, answer.header("x-cascadia-model")) == (200, "other")
        await gateway.settled()
        (end,) = gateway.ends
        assert (end.attempts, end.model, end.replica) == (2, "other", "engine-1")
        assert [each.replica for each in end.trail.former] == ["engine-0"]
        (record,) = records.ended
        assert (record.who.model, record.replica) == ("other", "engine-1")

    async def test_nothing_goes_on_once_content_was_sent(self, gateway, engine, other) -> None:
        engine.fault("close", at="events", after_events=3)
        answer = await ask(gateway, STREAM)
        assert answer.status == 200
        assert b"stream_interrupted" in answer.body
        assert not list(other.log)

    async def test_a_full_queue_sends_on_who_has_no_place_in_it(self, gateway, engine, other) -> None:
        gateway.publish(endpoint(engine.address, max_in_flight=1), second(other))
        gateway.parts.admission._queue(gateway.parts.catalog.resolve("model"))._bounds = Bounds(0)
        engine.fault("hang", at="arrival")
        holding = await gateway.connect()
        await holding.send(request(PLAIN))
        await until(lambda: gateway.replica().in_flight == 1)
        answer = await ask(gateway)
        assert (answer.status, answer.header("x-cascadia-model")) == (200, "other")
        holding.close()
        await gateway.settled()

    async def test_who_waited_too_long_goes_on(self, gateway, engine, other) -> None:
        gateway.publish(endpoint(engine.address, max_in_flight=1), second(other))
        engine.fault("hang", at="arrival")
        holding, waiting = await gateway.connect(), await gateway.connect()
        await holding.send(request(PLAIN))
        await until(lambda: gateway.replica().in_flight == 1)
        await waiting.send(request(STREAM))
        await until(gateway.waiting)
        gateway.advance(31.0)
        answer = await waiting.response()
        assert (answer.status, answer.header("x-cascadia-model")) == (200, "other")
        assert (answer.header("server-timing") or "").startswith("queue;dur=31000.0")
        holding.close()
        await gateway.settled()

    async def test_when_nobody_serves_it_the_refusal_is_of_the_model_asked_for(self, gateway) -> None:
        gateway.publish()
        answer = await ask(gateway)
        assert (answer.status, answer.json()["error"]["code"]) == (503, "model_unavailable")
        assert "`model`" in answer.json()["error"]["message"]
        assert answer.header("x-should-retry") == "true"
        (end,) = gateway.ends
        assert [model for model, _ in end.trail.left] == ["model", "other"]

    async def test_none_is_told_to_try_again_once_an_engine_worked(self, gateway, engine, other) -> None:
        down(gateway, engine, other)
        other.fault("close", at="arrival")
        answer = await ask(gateway)
        assert (answer.status, answer.header("x-should-retry")) == (502, "false")

    @BOTH
    async def test_a_caller_may_want_no_other(self, gateway, engine, other, body) -> None:
        down(gateway, engine, other)
        answer = await ask(gateway, body, x_cascadia_fallback="off")
        assert (answer.status, list(other.log)) == (503, [])

    async def test_any_other_word_for_that_is_refused(self, gateway) -> None:
        answer = await ask(gateway, x_cascadia_fallback="never")
        assert (answer.status, answer.json()["error"]["param"]) == (400, "x-cascadia-fallback")

    async def test_a_request_that_is_too_long_is_told_so(self, gateway, other) -> None:
        answer = await ask(gateway, {**PLAIN, "max_tokens": 100_000})
        assert (answer.status, answer.json()["error"]["code"]) == (400, "context_length_exceeded")
        assert not list(other.log)

    async def test_what_is_wrong_is_wrong_for_all(self, gateway, other) -> None:
        assert (await ask(gateway, {**PLAIN, "messages": 5})).status == 400
        assert not list(other.log)

    async def test_a_fallback_in_turn_falls_back_to_nobody(self, gateway, engine, other) -> None:
        down(gateway, engine, other)
        answer = await ask(gateway, {**PLAIN, "model": "third"})
        assert answer.status == 404

    async def test_metrics_say_who_stood_in_for_whom_and_why(self, gateway, engine, other) -> None:
        down(gateway, engine, other)
        await ask(gateway)
        await ask(gateway, {**PLAIN, "model": "other"})
        text = await told(gateway)
        assert 'cascadia_routed_requests_total{asked="model",model="other",outcome="ok"} 1.0' in text
        assert 'cascadia_fallbacks_total{asked="model",model="model",reason="model_unavailable"} 1.0' in text
        assert 'asked="other"' not in text

    class TestTooLong:
        @pytest.fixture
        def models(self) -> dict[str, Any]:
            return {"model": {"fallbacks": ["other"], "fall_back_on_context_length": True}}

        @pytest.fixture
        async def other(self, tmp_path: Path) -> AsyncIterator[SimulatedEngine]:
            options = Options(model="other-weights", max_model_len=200_000)
            async with SimulatedEngine(options).serve(uds=tmp_path / "other.sock") as made:
                yield made

        @BOTH
        async def test_where_that_is_wanted_the_longer_context_serves_it(self, gateway, body) -> None:
            answer = await ask(gateway, {**body, "max_tokens": 100_000})
            assert (answer.status, answer.header("x-cascadia-model")) == (200, "other")

        async def test_a_request_too_long_for_all_is_told_so_by_the_first(self, gateway, engine) -> None:
            answer = await ask(gateway, {**PLAIN, "max_tokens": 1_000_000})
            error = answer.json()["error"]
            assert (answer.status, error["code"]) == (400, "context_length_exceeded")
            assert str(engine.options.max_model_len) in error["message"]

    class TestWithLimits:
        @pytest.fixture
        def more(self) -> dict[str, Any]:
            teams = {
                "anonymous": {
                    "models": {"model": {"requests_per_minute": 5}, "other": {"requests_per_minute": 1}}
                }
            }
            return {"limits": {"teams": teams}}

        async def test_it_is_the_limits_of_the_model_that_serves(self, gateway, engine, other) -> None:
            down(gateway, engine, other)
            answer = await ask(gateway)
            assert answer.header("x-ratelimit-limit-requests") == "1"
            assert answer.header("x-ratelimit-remaining-requests") == "0"
            gateway.publish(endpoint(engine.address), second(other))
            answer = await ask(gateway)
            assert answer.header("x-ratelimit-remaining-requests") == "4"  # the first took nothing of these

        async def test_a_fallback_whose_limit_is_reached_is_passed_over(self, gateway, engine, other) -> None:
            down(gateway, engine, other)
            assert (await ask(gateway)).status == 200
            answer = await ask(gateway)
            assert (answer.status, answer.json()["error"]["code"]) == (503, "model_unavailable")

        async def test_a_stand_in_that_no_engine_of_which_was_asked_counts_nothing(
            self, gateway, engine, other
        ) -> None:
            gateway.parts.catalog.publish(
                "test",
                [
                    Sighting(endpoint(engine.address), Condition.READY),
                    Sighting(second(other), Condition.DOWN),
                ],
            )
            engine.fault("close", at="arrival", times=1)
            assert (await ask(gateway)).status == 502
            gateway.publish(second(other))
            assert (await ask(gateway, {**PLAIN, "model": "other"})).status == 200

        async def test_a_limit_of_the_caller_is_no_reason_to_go_on(self, gateway, other) -> None:
            for _ in range(5):
                assert (await ask(gateway)).status == 200
            assert (await ask(gateway)).status == 429
            assert not list(other.log)

    class TestWithCaps:
        @pytest.fixture
        def more(self) -> dict[str, Any]:
            return {"caps": {"models": {"other": {"n": 1, "max_tokens": 7}}}}

        async def test_it_is_held_to_the_caps_of_the_model_that_serves(self, gateway, engine, other) -> None:
            down(gateway, engine, other)
            assert (await ask(gateway, {**PLAIN, "n": 2})).status == 503
            assert not list(other.log)
            answer = await ask(gateway, STREAM)
            assert (answer.status, answer.header("x-cascadia-model")) == (200, "other")
            assert b'"usage":{' not in answer.body  # it asked for none
            assert gateway.ends[-1].usage.completion_tokens <= 7


class TestSplit:
    @pytest.fixture
    def models(self) -> dict[str, Any]:
        return {"chat": {"split": {"model": 75, "other": 25}}}

    @BOTH
    async def test_calls_go_by_weight_under_the_name_asked_for(self, gateway, records, body) -> None:
        served: Counter[str | None] = Counter()
        for _ in range(80):
            answer = await ask(gateway, {**body, "model": "chat"})
            assert answer.status == 200
            assert b'"model":"chat"' in answer.body.replace(b": ", b":")
            assert b"weights" not in answer.body
            served[answer.header("x-cascadia-model")] += 1
        assert set(served) == {"model", "other"}
        assert 8 <= served["other"] <= 36
        await gateway.settled()
        assert {(each.who.model, each.who.asked) for each in records.ended} == {
            ("model", "chat"),
            ("other", "chat"),
        }

    async def test_a_session_stays_where_it_is(self, gateway) -> None:
        for session in ("a", "b", "c", "d", "e", "f"):
            body = {**PLAIN, "model": "chat", "prompt_cache_key": session}
            served = {(await ask(gateway, body)).header("x-cascadia-model") for _ in range(6)}
            assert len(served) == 1

    async def test_a_part_that_is_down_is_served_by_the_others(self, gateway, engine, other) -> None:
        down(gateway, engine, other)
        for _ in range(8):
            answer = await ask(gateway, {**PLAIN, "model": "chat"})
            assert (answer.status, answer.json()["model"]) == (200, "chat")
            assert answer.header("x-cascadia-model") == "other"

    async def test_unless_the_caller_wants_no_other(self, gateway, engine, other) -> None:
        down(gateway, engine, other)
        asked = [await ask(gateway, {**PLAIN, "model": "chat"}, x_cascadia_fallback="off") for _ in range(24)]
        assert {each.status for each in asked} == {200, 503}

    async def test_the_name_is_listed_among_the_models(self, gateway, engine, other) -> None:
        async def listed() -> dict[str, bool]:
            answer = await (await gateway.connect()).ask(request(b"", path="/v1/models", method="GET"))
            return {each["id"]: each["ready"] for each in answer.json()["data"]}

        assert await listed() == {"model": True, "other": True, "chat": True}
        down(gateway, engine, other)
        assert await listed() == {"model": False, "other": True, "chat": True}
        answer = await (await gateway.connect()).ask(request(b"", path="/v1/models/chat", method="GET"))
        assert answer.json()["id"] == "chat"

    class TestAll:
        @pytest.fixture
        def models(self) -> dict[str, Any]:
            return {"chat": {"split": {"third": 0, "other": 5}}, "model": {"split": {"model": 0, "other": 1}}}

        async def test_a_weight_of_nothing_gets_nothing(self, gateway, engine) -> None:
            for name in ("chat", "model"):
                for _ in range(10):
                    answer = await ask(gateway, {**PLAIN, "model": name})
                    assert (answer.json()["model"], answer.header("x-cascadia-model")) == (name, "other")
            assert not list(engine.log)

    class TestSessionHeader:
        @pytest.fixture
        def more(self) -> dict[str, Any]:
            return {"admission": {"session_header": "X-Session-Id"}}

        async def test_a_header_names_the_session_and_goes_before_the_body(self, gateway) -> None:
            served = {}
            for session in "abcdefghijkl":
                body = {**PLAIN, "model": "chat", "prompt_cache_key": "all the same"}
                found = {
                    (await ask(gateway, body, x_session_id=session)).header("x-cascadia-model")
                    for _ in range(3)
                }
                assert len(found) == 1
                served[session] = found.pop()
            assert set(served.values()) == {"model", "other"}


class TestWhoMay:
    @pytest.fixture
    def models(self) -> dict[str, Any]:
        return {"chat": {"split": {"model": 1}, "fallbacks": ["other"]}}

    @pytest.fixture
    def key(self, tmp_path: Path) -> str:
        paths = Paths(tmp_path / "data")
        return KeyFile(paths.keys, paths.pepper, time.time).create("one", models=("chat",)).text

    @pytest.fixture
    def config(self, key: str, models: dict[str, Any]) -> Config:
        return Config.model_validate({"isolation": {"share_prefixes": "all"}, "models": models})

    async def test_a_key_for_the_name_gets_its_parts_but_no_fallback_of_another(
        self, gateway, engine, other, key
    ) -> None:
        bearer = {"authorization": f"Bearer {key}"}
        answer = await ask(gateway, {**PLAIN, "model": "chat"}, **bearer)
        assert (answer.status, answer.json()["model"]) == (200, "chat")
        assert (await ask(gateway, PLAIN, **bearer)).status == 404
        down(gateway, engine, other)
        answer = await ask(gateway, {**PLAIN, "model": "chat"}, **bearer)
        assert (answer.status, list(other.log)) == (503, [])


async def test_a_model_without_a_route_says_nothing_of_any(gateway) -> None:
    answer = await ask(gateway, {**PLAIN, "model": "other"})
    assert answer.status == 200
    assert answer.header("x-cascadia-model") is None
    await gateway.settled()
    (end,) = gateway.ends
    assert (end.asked, end.trail.left, end.outcome) == (None, (), Outcome.OK)
