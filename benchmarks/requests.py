"""The requests that are sent, as bytes made once: the bodies are what the OpenAI SDK sends for the same call."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

MODEL = "bench"
_SYSTEM = "You are a careful assistant. Answer from the text alone."
_LINE = 'The quick brown fox jumps over the lazy dog, says "away" and runs.\n'


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
    user = {"role": "user", "content": ""}
    body = {
        "model": MODEL,
        **({"stream": True} if stream else {}),
        "messages": [{"role": "system", "content": _SYSTEM}, user],
        "max_tokens": tokens,
        "ignore_eos": True,
    }
    room = body_bytes - len(msgspec.json.encode(body))
    user["content"] = _text(room)
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


def _text(encoded_bytes: int) -> str:
    """Text with line ends and quotation marks, of so many bytes once they are escaped."""
    lines = _LINE * (encoded_bytes // (len(msgspec.json.encode(_LINE)) - 2))
    return lines + "." * (encoded_bytes - len(msgspec.json.encode(lines)) + 2)
