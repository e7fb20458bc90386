"""What OpenAI's own client sends goes on unchanged in value, with vLLM's everyday extras among it."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from openai import OpenAI
from openai.types import completion_create_params as completion_params
from openai.types.chat import completion_create_params as chat_params
from pydantic import BaseModel

from gateway.openai.envelope import Reader, upstream_body
from gateway.openai.fields import SHAPES
from gateway.openai.operations import CHAT, COMPLETIONS, OPERATIONS
from gateway.openai.rules import Rules

MESSAGES: Any = [
    {"role": "system", "content": 'You are é \\ "careful".\n'},
    {"role": "user", "name": "ann", "content": [{"type": "text", "text": "What is on it?"}]},
]
PICTURE: Any = {
    "role": "user",
    "content": [
        {"type": "text", "text": "And here?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"}},
        {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERi0=", "filename": "a.pdf"}},
    ],
}
CALL: Any = {
    "role": "assistant",
    "content": None,
    "tool_calls": [
        {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Oslo"}'}}
    ],
}
RESULT: Any = {"role": "tool", "tool_call_id": "c1", "content": '{"c":-3.5}'}
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Weather of a city",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "unit": {"enum": ["c", "f"]}},
            "required": ["city", "unit"],
            "additionalProperties": False,
        },
    },
}


class Step(BaseModel):
    """One step of many."""

    what: str
    then: list[Step] = []


class Plan(BaseModel):
    """A recursive answer."""

    name: str
    steps: list[Step]


SCHEMA: Any = {
    "type": "json_schema",
    "json_schema": {"name": "plan", "schema": Plan.model_json_schema(), "strict": True},
}

CHATS: dict[str, dict[str, Any]] = {
    "plain": {},
    "usual": {"temperature": 0.7, "top_p": 0.95, "max_tokens": 128, "seed": 7, "user": "ann"},
    "newer": {"max_completion_tokens": 64, "reasoning_effort": "low", "verbosity": "low", "store": False},
    "penalties": {"presence_penalty": -0.5, "frequency_penalty": 1, "logit_bias": {"50256": -100}},
    "many": {"n": 3, "stop": ["\n", "END"]},
    "logprobs": {"logprobs": True, "top_logprobs": 5},
    "tools": {"messages": [*MESSAGES, CALL, RESULT], "tools": [WEATHER], "tool_choice": "auto"},
    "forced": {
        "tools": [WEATHER],
        "tool_choice": {"type": "function", "function": {"name": "weather"}},
        "parallel_tool_calls": False,
    },
    "json": {"response_format": {"type": "json_object"}},
    "schema": {"response_format": SCHEMA},
    "pictures": {"messages": [*MESSAGES, PICTURE]},
    "metadata": {
        "metadata": {"a": "b"},
        "service_tier": "auto",
        "safety_identifier": "hash",
        "prompt_cache_key": "k",
        "prediction": {"type": "content", "content": "x"},
        "modalities": ["text"],
    },
    "stream": {"stream": True},
    "stream with usage": {"stream": True, "stream_options": {"include_usage": True}},
    "stream with tools": {"stream": True, "tools": [WEATHER]},
    "extras": {
        "extra_body": {
            "top_k": 20,
            "min_p": 0.05,
            "repetition_penalty": 1.1,
            "length_penalty": 1.0,
            "min_tokens": 1,
            "stop_token_ids": [2],
            "bad_words": ["no"],
            "ignore_eos": True,
            "skip_special_tokens": False,
            "spaces_between_special_tokens": True,
            "include_stop_str_in_output": True,
            "truncate_prompt_tokens": 512,
            "prompt_logprobs": 1,
            "allowed_token_ids": [1, 2, 3],
            "return_token_ids": True,
            "return_tokens_as_token_ids": True,
            "include_reasoning": False,
            "thinking_token_budget": 256,
            "add_special_tokens": False,
            "continue_final_message": True,
            "chat_template_kwargs": {"enable_thinking": False},
            "structured_outputs": {"regex": r"\d{4}"},
        }
    },
    "guided": {"extra_body": {"guided_json": Plan.model_json_schema(), "guided_choice": ["a", "b"]}},
}
TEXTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "usual": {"max_tokens": 16, "temperature": 0, "echo": True, "logprobs": 1, "suffix": "."},
    "batch": {"prompt": ["a", "b"], "best_of": 2, "n": 2},
    "ids": {"prompt": [1, 2, 3]},
    "stream": {"stream": True},
    "extras": {"extra_body": {"structured_outputs": {"choice": ["a"]}, "top_k": 1}},
}


class Sent(Exception):
    """What the client would have sent."""

    def __init__(self, request: httpx.Request) -> None:
        super().__init__()
        self.request = request


@pytest.fixture
def client() -> OpenAI:
    def take(request: httpx.Request) -> httpx.Response:
        raise Sent(request)

    transport = httpx.MockTransport(take)
    return OpenAI(
        api_key="x",
        base_url="http://gateway.test/v1",
        http_client=httpx.Client(transport=transport),
        max_retries=0,
    )


def passed(request: httpx.Request) -> tuple[Any, Any]:
    """What the client sent, and what an engine would get of it."""
    body = request.read()
    operation = OPERATIONS[b"POST", request.url.raw_path]
    found = Reader(Rules()).read(operation, body, "-")
    assert found.stripped == b""
    sent, engine = json.loads(body), json.loads(upstream_body(found, "the engine's own"))
    assert found.stream is (sent.get("stream") is True)
    if found.strip_usage:
        assert engine.pop("stream_options") == {"include_usage": True}
    return sent, engine


@pytest.mark.parametrize("arguments", CHATS.values(), ids=CHATS.keys())
def test_a_chat(client, arguments) -> None:
    with pytest.raises(Exception) as caught:  # the client wraps what its transport raises
        client.chat.completions.create(**{"model": "m", "messages": MESSAGES, **arguments})
    sent, engine = passed(request_of(caught.value))
    assert engine == {**sent, "model": "the engine's own"}
    assert len(sent) >= 2 + len(arguments.get("extra_body", ()))


@pytest.mark.parametrize("arguments", TEXTS.values(), ids=TEXTS.keys())
def test_a_completion(client, arguments) -> None:
    with pytest.raises(Exception) as caught:  # the same
        client.completions.create(**{"model": "m", "prompt": "Once", **arguments})
    sent, engine = passed(request_of(caught.value))
    assert engine == {**sent, "model": "the engine's own"}


def test_a_parsed_answer(client) -> None:
    with pytest.raises(Exception) as caught:  # the same
        client.chat.completions.parse(model="m", messages=MESSAGES, response_format=Plan)
    sent, engine = passed(request_of(caught.value))
    assert sent["response_format"]["type"] == "json_schema"
    assert engine == {**sent, "model": "the engine's own"}


def request_of(error: BaseException) -> httpx.Request:
    while not isinstance(error, Sent):
        assert error.__cause__ is not None, repr(error)
        error = error.__cause__
    return error.request


def test_every_parameter_of_the_clients_own_reference_is_known() -> None:
    for operation, reference in (
        (CHAT, chat_params.CompletionCreateParamsStreaming),
        (COMPLETIONS, completion_params.CompletionCreateParamsStreaming),
    ):
        known = set(SHAPES[operation.name].__struct_fields__)
        assert reference.__required_keys__ | reference.__optional_keys__ <= known
