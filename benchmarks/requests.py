"""The requests that are sent, as bytes made once."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

MODEL = "bench"
_WORDS = "the quick brown fox jumps over the lazy dog and runs away "


@dataclass(frozen=True, slots=True)
class Request:
    """One chat completion on the wire, and how many tokens a whole answer to it has."""

    payload: bytes
    stream: bool
    tokens: int
    completion: bytes
    """What the body of a whole answer contains."""


def chat(key: str, *, body_bytes: int, tokens: int, stream: bool) -> Request:
    """A chat completion of exactly `body_bytes` that is answered with `tokens` tokens."""
    body = {
        "model": MODEL,
        "messages": [{"role": "user", "content": ""}],
        "max_tokens": tokens,
        "ignore_eos": True,
        "stream": stream,
    }
    room = body_bytes - len(msgspec.json.encode(body))
    body["messages"] = [{"role": "user", "content": (_WORDS * (room // len(_WORDS) + 1))[:room]}]
    encoded = msgspec.json.encode(body)
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\n"
        "host: localhost\r\n"
        f"authorization: Bearer {key}\r\n"
        "content-type: application/json\r\n"
        "accept: application/json\r\n"
        "user-agent: cascadia-bench\r\n"
        f"content-length: {len(encoded)}\r\n\r\n"
    )
    return Request(head.encode() + encoded, stream, tokens, b'"completion_tokens":%d' % tokens)
