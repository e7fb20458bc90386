"""The OpenAI SDK for Python, sync and async, against the whole product over the real engine.

What is asserted is what the API and the gateway promise; of the model's wisdom only what its card says it can do.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import httpx
import jsonschema
import openai
import pytest

from tests.support.peer import Peer, request
from tests.support.product import Product

pytestmark = pytest.mark.real_engine

MODEL = "tiny"
CAPITAL = "What is the capital of Norway?"
GREETINGS = "Say hello in many languages."
WEATHER = "What is the weather in Oslo?"
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "The weather in a city.",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
            },
        },
    }
]
PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 12},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
    },
    "required": ["name", "age"],
    "additionalProperties": False,
}
ADA = "Ada is 36 years old. Answer as JSON."
STREAMS = 40


def asked(question: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": question}]


class Sdk(Protocol):
    """One of the two clients, its answers as values."""

    def call(self, resource: str, method: str, *args: Any, **fields: Any) -> Any:
        """Call `client.RESOURCE.METHOD(...)` and give the answer."""

    def chunks(self, resource: str, **fields: Any) -> list[Any]:
        """Stream to the end and give all chunks."""


class SyncSdk:
    def __init__(self, product: Product) -> None:
        self._product = product

    def call(self, resource: str, method: str, *args: Any, **fields: Any) -> Any:
        with self._product.sdk() as client:
            return getattr(_resource(client, resource), method)(*args, **fields)

    def chunks(self, resource: str, **fields: Any) -> list[Any]:
        with self._product.sdk() as client:
            return list(_resource(client, resource).create(stream=True, **fields))


class AsyncSdk:
    def __init__(self, product: Product) -> None:
        self._product = product

    def call(self, resource: str, method: str, *args: Any, **fields: Any) -> Any:
        async def ask() -> Any:
            async with self._product.async_sdk() as client:
                return await getattr(_resource(client, resource), method)(*args, **fields)

        return asyncio.run(ask())

    def chunks(self, resource: str, **fields: Any) -> list[Any]:
        async def ask() -> list[Any]:
            async with self._product.async_sdk() as client:
                return [
                    chunk async for chunk in await _resource(client, resource).create(stream=True, **fields)
                ]

        return asyncio.run(ask())


def _resource(client: Any, path: str) -> Any:
    for name in path.split("."):
        client = getattr(client, name)
    return client


class Asker:
    """Short ways to ask with one of the SDKs: greedy, so that two answers can be compared."""

    def __init__(self, sdk: Sdk) -> None:
        self.sdk = sdk

    def chat(self, question: str | list[dict[str, Any]], **fields: Any) -> Any:
        return self.sdk.call("chat.completions", "create", **_chat(question, fields))

    def chat_chunks(self, question: str | list[dict[str, Any]], **fields: Any) -> list[Any]:
        return self.sdk.chunks("chat.completions", **_chat(question, fields))

    def complete(self, prompt: str, **fields: Any) -> Any:
        return self.sdk.call("completions", "create", model=MODEL, prompt=prompt, temperature=0, **fields)

    def complete_chunks(self, prompt: str, **fields: Any) -> list[Any]:
        return self.sdk.chunks("completions", model=MODEL, prompt=prompt, temperature=0, **fields)


def _chat(question: str | list[dict[str, Any]], fields: dict[str, Any]) -> dict[str, Any]:
    messages = asked(question) if isinstance(question, str) else question
    return {"model": MODEL, "messages": messages, "temperature": 0, **fields}


@pytest.fixture(params=[SyncSdk, AsyncSdk], ids=["sync", "async"])
def ask(request: pytest.FixtureRequest, product: Product) -> Asker:
    return Asker(request.param(product))


def text_of(chunks: list[Any], index: int = 0) -> str:
    choices = [choice for chunk in chunks for choice in chunk.choices if choice.index == index]
    return "".join(choice.delta.content or "" for choice in choices)


def finishes_of(chunks: list[Any]) -> dict[int, str]:
    choices = [choice for chunk in chunks for choice in chunk.choices]
    return {choice.index: choice.finish_reason for choice in choices if choice.finish_reason}


def test_a_plain_chat_is_answered_and_counted(ask: Asker) -> None:
    answer = ask.chat(CAPITAL)
    assert answer.model == MODEL
    assert "Oslo" in answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"
    usage = answer.usage
    assert usage.prompt_tokens > 0
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens


def test_a_streamed_chat_says_the_same_in_pieces(ask: Asker) -> None:
    chunks = ask.chat_chunks(CAPITAL)
    assert text_of(chunks) == ask.chat(CAPITAL).choices[0].message.content
    assert len(chunks) > 3
    assert finishes_of(chunks) == {0: "stop"}
    assert len({chunk.id for chunk in chunks}) == 1
    assert {chunk.model for chunk in chunks} == {MODEL}


def test_a_completion_streamed_and_plain(ask: Asker) -> None:
    plain = ask.complete("Once there was", max_tokens=12)
    chunks = ask.complete_chunks("Once there was", max_tokens=12)
    assert plain.choices[0].finish_reason == "length"
    assert plain.usage.completion_tokens == 12
    assert "".join(chunk.choices[0].text for chunk in chunks) == plain.choices[0].text
    assert chunks[-1].choices[0].finish_reason == "length"


def test_the_pieces_of_a_tool_call_make_the_whole_one(ask: Asker) -> None:
    [call] = ask.chat(WEATHER, tools=TOOLS).choices[0].message.tool_calls
    assert call.function.name == "get_weather"
    assert json.loads(call.function.arguments) == {"city": "Oslo"}

    chunks = ask.chat_chunks(WEATHER, tools=TOOLS)
    pieces = [piece for chunk in chunks for piece in chunk.choices[0].delta.tool_calls or ()]
    assert {piece.index for piece in pieces} == {0}
    assert [piece.id for piece in pieces if piece.id] == [pieces[0].id]
    assert [piece.function.name for piece in pieces if piece.function.name] == ["get_weather"]
    assert "".join(piece.function.arguments or "" for piece in pieces) == call.function.arguments
    assert finishes_of(chunks) == {0: "tool_calls"}


def test_the_result_of_a_tool_is_put_into_words(ask: Asker) -> None:
    call = ask.chat(WEATHER, tools=TOOLS).choices[0].message
    result = {
        "role": "tool",
        "tool_call_id": call.tool_calls[0].id,
        "content": json.dumps({"temperature": 21, "sky": "cloudy"}),
    }
    turns = [*asked(WEATHER), call.model_dump(exclude_none=True), result]
    answer = ask.chat(turns, tools=TOOLS).choices[0]
    assert answer.finish_reason == "stop"
    assert answer.message.content
    assert not answer.message.tool_calls


def test_an_answer_under_a_schema_fits_the_schema(ask: Asker) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON, "strict": True}}
    plain = ask.chat(ADA, response_format=wanted, max_tokens=60)
    jsonschema.validate(json.loads(plain.choices[0].message.content), PERSON)
    streamed = ask.chat_chunks(ADA, response_format=wanted, max_tokens=60)
    jsonschema.validate(json.loads(text_of(streamed)), PERSON)


def test_log_probabilities_come_with_each_token(ask: Asker) -> None:
    answer = ask.chat(CAPITAL, logprobs=True, top_logprobs=3, max_tokens=5)
    tokens = answer.choices[0].logprobs.content
    assert len(tokens) == answer.usage.completion_tokens == 5
    assert "".join(token.token for token in tokens) == answer.choices[0].message.content
    for token in tokens:
        assert len(token.top_logprobs) == 3
        assert token.logprob == max(top.logprob for top in token.top_logprobs)
    streamed = ask.chat_chunks(CAPITAL, logprobs=True, top_logprobs=3, max_tokens=5)
    pieces = [
        token for chunk in streamed if (log := chunk.choices[0].logprobs) for token in log.content or ()
    ]
    assert [piece.token for piece in pieces] == [token.token for token in tokens]


def test_two_answers_to_one_question_each_get_an_end(ask: Asker) -> None:
    fields = {"n": 2, "temperature": 1, "seed": 7, "max_tokens": 30}
    plain = ask.chat("Tell me a story.", **fields)
    assert [choice.index for choice in plain.choices] == [0, 1]
    chunks = ask.chat_chunks("Tell me a story.", **fields)
    assert set(finishes_of(chunks)) == {0, 1}
    for index, choice in enumerate(plain.choices):
        assert text_of(chunks, index) == choice.message.content


def test_a_stop_string_ends_the_answer_before_it(ask: Asker) -> None:
    plain = ask.chat("Count to 100.", stop=["7"])
    assert plain.choices[0].finish_reason == "stop"
    assert plain.choices[0].message.content.strip() == "1, 2, 3, 4, 5, 6,"
    chunks = ask.chat_chunks("Count to 100.", stop=["7"])
    assert text_of(chunks) == plain.choices[0].message.content
    assert finishes_of(chunks) == {0: "stop"}


def test_usage_comes_with_a_stream_that_asked_for_it_and_no_other(ask: Asker) -> None:
    *before, last = ask.chat_chunks(CAPITAL, stream_options={"include_usage": True})
    assert last.choices == []
    assert last.usage.completion_tokens == ask.chat(CAPITAL).usage.completion_tokens
    assert all(chunk.usage is None for chunk in before)
    assert all(chunk.usage is None and chunk.choices for chunk in ask.chat_chunks(CAPITAL))


def test_letters_of_several_tokens_arrive_whole(ask: Asker) -> None:
    plain = ask.chat(GREETINGS).choices[0].message.content
    chunks = ask.chat_chunks(GREETINGS)
    assert text_of(chunks) == plain
    assert sum(not letter.isascii() for letter in plain) > 20
    assert "\ufffd" not in plain


async def test_no_chunk_of_a_stream_ends_inside_a_letter_or_an_event(product: Product) -> None:
    host, port = product.url.removeprefix("http://").removesuffix("/v1").split(":")
    peer = await Peer.connect((host, int(port)), receive_bytes=256)
    body = {"model": MODEL, "messages": asked(GREETINGS), "temperature": 0, "stream": True}
    key = [("authorization", f"Bearer {product.key}")]
    answer = await peer.ask(request(body, more_headers=key))
    peer.close()
    assert answer.is_complete
    assert answer.chunks
    for chunk in answer.chunks:
        assert chunk.decode().endswith("\n\n")
    assert answer.events[-1] == b"data: [DONE]\n\n"


def test_a_thought_is_kept_apart_from_the_answer(ask: Asker) -> None:
    thinking = {"extra_body": {"chat_template_kwargs": {"enable_thinking": True}}}
    message = ask.chat(CAPITAL, **thinking).choices[0].message
    assert message.reasoning
    assert message.content
    assert "think>" not in message.content + message.reasoning
    chunks = ask.chat_chunks(CAPITAL, **thinking)
    deltas = [chunk.choices[0].delta for chunk in chunks]
    assert "".join(getattr(delta, "reasoning", None) or "" for delta in deltas) == message.reasoning
    assert text_of(chunks) == message.content
    assert not getattr(ask.chat(CAPITAL).choices[0].message, "reasoning", None)


def test_the_models_are_listed_and_each_can_be_asked_for(ask: Asker) -> None:
    listed = ask.sdk.call("models", "list")
    assert [model.id for model in listed.data] == [MODEL]
    assert ask.sdk.call("models", "retrieve", MODEL).id == MODEL
    with pytest.raises(openai.NotFoundError) as caught:
        ask.sdk.call("models", "retrieve", "nobody")
    assert caught.value.code == "model_not_found"


Refused = tuple[type[openai.APIStatusError], str, str]
REFUSALS: dict[str, tuple[dict[str, Any], Refused]] = {
    "too long a prompt": (
        {"messages": asked("word " * 6000)},
        (openai.BadRequestError, "context_length_exceeded", "input_tokens"),
    ),
    "too hot": ({"temperature": 9}, (openai.BadRequestError, "invalid_request", "temperature")),
    "unknown model": ({"model": "nobody"}, (openai.NotFoundError, "model_not_found", "model")),
}


@pytest.mark.parametrize("name", REFUSALS)
@pytest.mark.parametrize("stream", [False, True])
def test_what_is_refused_is_refused_in_words_that_the_sdk_understands(
    ask: Asker, name: str, stream: bool
) -> None:
    fields, (kind, code, param) = REFUSALS[name]
    with pytest.raises(kind) as caught:
        ask.chat(CAPITAL, stream=stream, **fields)
    assert (caught.value.code, caught.value.param) == (code, param)
    assert caught.value.type == "invalid_request_error"
    assert caught.value.request_id
    assert caught.value.response.headers["x-should-retry"] == "false"


def test_a_wrong_key_is_refused(product: Product) -> None:
    with (
        product.sdk().with_options(api_key="gw_local_nobody") as client,
        pytest.raises(openai.AuthenticationError) as caught,
    ):
        client.models.list()
    assert caught.value.code == "invalid_api_key"


def test_forty_streams_at_once_all_come_to_their_end(
    product: Product, figure: Callable[[str, str], None]
) -> None:
    async def one(client: httpx.AsyncClient, number: int) -> bytes:
        body = {
            "model": MODEL,
            "messages": asked(f"Count to {number + 10}."),
            "max_tokens": 60,
            "stream": True,
        }
        async with client.stream("POST", f"{product.url}/chat/completions", json=body) as response:
            assert response.status_code == httpx.codes.OK
            return await response.aread()

    async def all_of_them() -> list[bytes]:
        headers = {"authorization": f"Bearer {product.key}"}
        limits = httpx.Limits(max_connections=STREAMS)
        async with httpx.AsyncClient(headers=headers, limits=limits, timeout=120, trust_env=False) as client:
            return await asyncio.gather(*(one(client, number) for number in range(STREAMS)))

    began = time.monotonic()
    bodies = asyncio.run(all_of_them())
    figure(f"{STREAMS} streams at once", f"{time.monotonic() - began:.1f} s")
    assert len(bodies) == STREAMS
    for body in bodies:
        *events, done = _events(body)
        assert done == "[DONE]"
        assert [json.loads(event)["choices"][0]["finish_reason"] for event in events][-1] in {
            "stop",
            "length",
        }


def _events(body: bytes) -> Iterator[str]:
    for event in body.decode().split("\n\n")[:-1]:
        assert event.startswith("data: ")
        yield event.removeprefix("data: ")
