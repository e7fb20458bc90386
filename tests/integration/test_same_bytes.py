"""What the engine says is what the client reads: the same request to both, and the bodies compared byte for byte.

Masked is what differs between any two requests: ids, times, and how the events of several choices alternate. Whether
two tokens that the engine makes quickly one after the other become one event or two is chance, also without a gateway;
so a pair that differs is asked again.

One difference is vLLM's and stays: of a stream whose usage is counted it names the `system_fingerprint` in the usage
event and not in the one before. The gateway has the usage of every stream counted and takes that event out for a client
that did not ask for it.
"""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

from tests.support.product import Product

pytestmark = pytest.mark.real_engine

ATTEMPTS = 8

_MASKS = (
    (re.compile(rb'"id":"(chatcmpl-tool|chatcmpl|cmpl)-[^"]*"'), rb'"id":"\1"'),
    (re.compile(rb'"created":\d+'), b'"created":0'),
)

CHAT: dict[str, Any] = {
    "model": "tiny",
    "messages": [{"role": "user", "content": "Say hello in Japanese."}],
    "temperature": 0,
    "seed": 1,
}
WEATHER: dict[str, Any] = {
    **CHAT,
    "messages": [{"role": "user", "content": "What is the weather in Oslo?"}],
    "tools": [
        {
            "type": "function",
            "function": {
                "name": "get_weather",
                "parameters": {
                    "type": "object",
                    "properties": {"city": {"type": "string"}},
                    "required": ["city"],
                },
            },
        }
    ],
}
THINKING = {"chat_template_kwargs": {"enable_thinking": True}, "max_tokens": 12}
COMPLETION: dict[str, Any] = {
    "model": "tiny",
    "prompt": "Once there was",
    "max_tokens": 10,
    "temperature": 0,
    "seed": 1,
}
STREAM = {"stream": True}
COUNTED = {"stream": True, "stream_options": {"include_usage": True}}
ALWAYS_COUNTED = {"stream": True, "stream_options": {"include_usage": True, "continuous_usage_stats": True}}
NOT_COUNTED = {"stream": True, "stream_options": {"include_usage": False}}

REQUESTS: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("chat/completions", CHAT),
    "chat, streamed": ("chat/completions", CHAT | STREAM),
    "chat, streamed, usage asked for": ("chat/completions", CHAT | COUNTED),
    "chat, streamed, usage with every event": ("chat/completions", CHAT | ALWAYS_COUNTED),
    "chat, streamed, usage refused": ("chat/completions", CHAT | NOT_COUNTED),
    "thinking, streamed": ("chat/completions", CHAT | STREAM | THINKING),
    "log probabilities, streamed": (
        "chat/completions",
        CHAT | STREAM | {"logprobs": True, "top_logprobs": 2, "max_tokens": 4},
    ),
    "two answers, streamed": (
        "chat/completions",
        CHAT | STREAM | {"n": 2, "max_tokens": 4, "temperature": 1},
    ),
    "tool call": ("chat/completions", WEATHER),
    "tool call, streamed": ("chat/completions", WEATHER | STREAM),
    "completion": ("completions", COMPLETION),
    "completion, streamed": ("completions", COMPLETION | STREAM),
    "completion, streamed, usage asked for": ("completions", COMPLETION | COUNTED),
    "completions of two prompts, streamed": ("completions", COMPLETION | STREAM | {"prompt": ["One", "Two"]}),
}


_INDEX = re.compile(rb'"choices":\[\{"index":(\d+)')
FINGERPRINT = re.compile(rb',"system_fingerprint":"[^"]*"')


def masked(body: bytes) -> bytes:
    for pattern, replacement in _MASKS:
        body = pattern.sub(replacement, body)
    return body


def by_choice(body: bytes) -> bytes:
    """The events of a stream with those of each choice together, in their order: how choices alternate is chance."""
    *events, rest = body.split(b"\n\n")
    return b"\n\n".join([*sorted(events, key=lambda event: (_INDEX.findall(event) or [b"~"])[0]), rest])


def ask(client: httpx.Client, path: str, body: dict[str, Any]) -> tuple[int, str, bytes]:
    answer = client.post(path, json=body)
    return answer.status_code, answer.headers["content-type"], by_choice(masked(answer.content))


@pytest.mark.parametrize("name", REQUESTS)
def test_the_client_reads_what_the_engine_says(name: str, product: Product) -> None:
    path, body = REQUESTS[name]
    with product.engine() as engine, product.client() as gateway:
        # From now on the prompt is in the engine's cache, and usage says so each time.
        ask(engine, path, body)
        for _ in range(ATTEMPTS):
            direct, through = ask(engine, path, body), ask(gateway, path, body)
            if _is_uncounted_stream(body):
                assert b"system_fingerprint" not in through[2]
                direct = (*direct[:2], FINGERPRINT.sub(b"", direct[2]))
            if direct == through:
                break
    assert through == direct
    assert direct[0] == httpx.codes.OK
    if body.get("stream"):
        assert direct[2].endswith(b"data: [DONE]\n\n")


def _is_uncounted_stream(body: dict[str, Any]) -> bool:
    return bool(body.get("stream")) and not body.get("stream_options", {}).get("include_usage")
