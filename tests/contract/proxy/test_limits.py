"""Limits as OpenAI's own client meets them, over both drivers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI

from config.schema import Config
from gateway.core.outcome import Outcome
from tests.support.gateway import RunningGateway, until
from tests.support.peer import request

MESSAGES: Any = [{"role": "user", "content": "Say it."}]


@pytest.fixture
def limits() -> dict[str, Any]:
    return {"requests_per_minute": 3, "tokens_per_minute": 5000, "concurrent_requests": 2}


@pytest.fixture
def config(limits: dict[str, Any]) -> Config:
    return Config.model_validate(
        {
            "auth": {"mode": "anonymous"},
            "limits": {"teams": {"anonymous": limits}, "models": {"model": {"context": 4096}}},
            "prices": {"model": {"input": 1000.0, "output": 1000.0}},
        }
    )


@pytest.fixture
async def client(gateway: RunningGateway) -> AsyncIterator[AsyncOpenAI]:
    host, port = gateway.address
    async with AsyncOpenAI(api_key="x", base_url=f"http://{host}:{port}/v1", max_retries=0) as made:
        yield made


async def ask(client: AsyncOpenAI, **fields: Any) -> Any:
    """One answer with its headers."""
    fields = {"model": "model", "messages": MESSAGES, "max_tokens": 5, **fields}
    return await client.chat.completions.with_raw_response.create(**fields)


async def refused(client: AsyncOpenAI, **fields: Any) -> openai.APIStatusError:
    with pytest.raises(openai.APIStatusError) as caught:
        await ask(client, **fields)
    return caught.value


async def exhausted(client: AsyncOpenAI, **fields: Any) -> tuple[openai.RateLimitError, int]:
    """The refusal that ends a row of requests, and the tokens of those before it."""
    tokens = 0
    for _ in range(200):
        try:
            answer = await ask(client, **fields)
        except openai.RateLimitError as error:
            return error, tokens
        tokens += answer.parse().usage.total_tokens
    pytest.fail("never refused")


async def test_answers_say_what_is_left_of_the_limits(gateway, client) -> None:
    answer = await ask(client)
    usage = answer.parse().usage
    headers = answer.headers
    assert headers["x-ratelimit-limit-requests"] == "3"
    assert headers["x-ratelimit-remaining-requests"] == "2"
    assert headers["x-ratelimit-reset-requests"] == "1m0s"
    assert headers["x-ratelimit-limit-tokens"] == "5000"
    assert headers["x-ratelimit-remaining-tokens"] == str(5000 - usage.total_tokens)
    assert headers["x-ratelimit-reset-tokens"] == "1m0s"


async def test_streams_say_what_is_left_with_their_worst_case_taken(gateway, client) -> None:
    answer = await ask(client, stream=True)
    assert answer.headers["x-ratelimit-remaining-requests"] == "2"
    first = int(answer.headers["x-ratelimit-remaining-tokens"])
    async for _ in answer.parse():
        pass
    await gateway.settled()
    again = await ask(client, stream=True)
    assert (
        int(again.headers["x-ratelimit-remaining-tokens"]) == first - gateway.ends[0].usage.prompt_tokens - 5
    )


async def test_one_request_more_than_the_limit_is_429_and_says_when_to_come_back(
    gateway, client, engine
) -> None:
    for _ in range(3):
        await ask(client)
    error = await refused(client)
    assert isinstance(error, openai.RateLimitError)
    assert (error.code, error.type) == ("rate_limit_exceeded", "rate_limit_error")
    headers = error.response.headers
    assert headers["x-should-retry"] == "true"
    assert 60_000 <= int(headers["retry-after-ms"]) <= 61_100
    assert headers["retry-after"] in {"61", "62"}
    assert headers["x-ratelimit-limit-requests"] == "3"
    assert headers["x-ratelimit-remaining-requests"] == "0"
    assert len(engine.log) == 3
    assert gateway.ends[-1].outcome is Outcome.RATE_LIMITED
    gateway.advance(int(headers["retry-after-ms"]) / 1000)
    await ask(client)


async def test_the_client_retries_by_itself_when_it_may(gateway, client) -> None:
    """It obeys the milliseconds of the header: here they are as few as the second that frees a slot again."""
    for _ in range(3):
        await ask(client)
    gateway.advance(60.8)
    patient = client.with_options(max_retries=1)

    async def pass_time() -> None:
        await until(lambda: len(gateway.ends) == 4)
        gateway.advance(1)

    answer, _ = await asyncio.gather(ask(patient), pass_time())
    assert answer.parse().choices
    assert answer.retries_taken == 1


@pytest.mark.parametrize("limits", [{"tokens_per_minute": 1500}])
async def test_a_request_without_a_bound_on_its_answer_is_taken_for_the_models_context(
    gateway, client
) -> None:
    error = await refused(client, max_tokens=openai.NOT_GIVEN)
    assert (error.status_code, error.code) == (400, "request_exceeds_limit")
    assert "max_tokens" in error.message
    assert error.response.headers["x-should-retry"] == "false"
    await ask(client)


@pytest.mark.parametrize("limits", [{"tokens_per_day": 1000}])
async def test_a_budget_that_is_used_up_is_not_retried(gateway, client) -> None:
    error, _ = await exhausted(client, max_tokens=300)
    assert (error.code, error.type) == ("insufficient_quota", "insufficient_quota")
    assert error.response.headers["x-should-retry"] == "false"
    assert 0 < int(error.response.headers["retry-after"]) <= 86_400


@pytest.mark.parametrize("limits", [{"cost_per_month": 2.0}])
async def test_a_budget_of_money_counts_by_the_prices(gateway, client) -> None:
    error, spent = await exhausted(client, max_tokens=500)
    assert error.code == "insufficient_quota"
    assert 0 < spent * 1000 <= 2_000_000


@pytest.mark.parametrize("limits", [{"concurrent_requests": 1}])
async def test_a_client_that_leaves_gives_its_slot_back(gateway, engine, client) -> None:
    peer = await gateway.connect()
    long = {"model": "model", "messages": MESSAGES, "stream": True, "max_tokens": 3000}
    await peer.send(request(long))
    await peer.until(b"data: ")
    error = await refused(client)
    assert error.code == "rate_limit_exceeded"
    peer.close()
    await until(lambda: gateway.proxy.live == 0)
    await ask(client)


@pytest.mark.parametrize("limits", [{"requests_per_minute": 1, "shadow": True}])
async def test_a_limit_in_shadow_refuses_nobody_and_is_told_of(gateway, client) -> None:
    for _ in range(3):
        answer = await ask(client)
        assert "x-ratelimit-limit-requests" not in answer.headers
    assert gateway.parts.limiter.tally.shadowed == {("team", "requests_per_minute"): 2}


@pytest.mark.parametrize("limits", [{"requests_per_minute": 2}])
async def test_a_request_that_is_turned_away_before_an_engine_is_not_counted(gateway, client) -> None:
    gateway.publish()
    for _ in range(3):
        assert (await refused(client)).status_code == 404
    for _ in range(3):
        assert (await refused(client, max_tokens=-1)).status_code in {400, 404}


@pytest.mark.parametrize("limits", [{"requests_per_minute": 2, "tokens_per_minute": 8000}])
async def test_what_an_engine_refuses_counts_as_a_request_and_no_tokens(gateway, client) -> None:
    error = await refused(client, max_tokens=5000)
    assert (error.status_code, error.code) == (400, "context_length_exceeded")
    assert error.response.headers["x-ratelimit-remaining-requests"] == "1"
    assert error.response.headers["x-ratelimit-remaining-tokens"] == "8000"
