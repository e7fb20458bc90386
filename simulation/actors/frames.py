"""The bytes of an engine's answers, in vLLM's shape.

Every piece of text carries the marker of the request that it answers, so that it can be told whose it is wherever it
turns up. The text is not ASCII: a cut may fall between two bytes of a character.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

MARKER = re.compile(rb"mk-\d+-\d+-\d+-")
"""A request's marker: seed, client, request. The dash at the end keeps one from being the beginning of another."""
DONE = b"data: [DONE]\n\n"
COMMENT = b": still here\n\n"
LAST_CHUNK = b"0\r\n\r\n"
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n"
_USAGE = b'"usage":{"prompt_tokens":7,"total_tokens":%d,"completion_tokens":%d}'
_REASONS = {200: b"OK", 400: b"Bad Request", 503: b"Service Unavailable"}


@dataclass(frozen=True, slots=True)
class Ask:
    """What an engine was asked for."""

    marker: str
    request_id: str
    model: str
    is_chat: bool
    stream: bool
    usage: bool
    choices: int


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def head(status: int, content_type: bytes, framing: bytes, *, closes: bool) -> bytes:
    """The head of an answer; `framing` is one header line."""
    reason = _REASONS.get(status, b"Whatever")
    close = b"connection: close\r\n" if closes else b""
    return (
        b"HTTP/1.1 %d %b\r\ndate: Mon, 23 Nov 2026 00:00:00 GMT\r\nserver: uvicorn\r\ncontent-type: %b\r\n%b\r\n%b\r\n"
        % (status, reason, content_type, framing, close)
    )


def events(ask: Ask, tokens: int, piece_bytes: int, *, finished: bool = True) -> Iterator[bytes]:
    """The events of a stream up to its `[DONE]`, the usage event among them if it was asked for."""
    begin = b'data: {"id":"%b","object":"%b","created":1,"model":"%b","choices":[' % (
        ask.request_id.encode(),
        b"chat.completion.chunk" if ask.is_chat else b"text_completion",
        ask.model.encode(),
    )
    end = b"]}\n\n"
    indexes = range(ask.choices)
    if ask.is_chat:
        for index in indexes:
            yield begin + _delta(index, b'"role":"assistant","content":""') + end
    for number in range(tokens):
        text = _text(ask, number, piece_bytes)
        for index in indexes:
            if ask.is_chat:
                yield begin + _delta(index, b'"content":"%b"' % text) + end
            else:
                yield (
                    begin
                    + b'{"index":%d,"text":"%b","logprobs":null,"finish_reason":null}' % (index, text)
                    + end
                )
    if finished:
        for index in indexes:
            if ask.is_chat:
                yield begin + b'{"index":%d,"delta":{},"logprobs":null,"finish_reason":"stop"}' % index + end
            else:
                yield begin + b'{"index":%d,"text":"","logprobs":null,"finish_reason":"stop"}' % index + end
        if ask.usage:
            yield begin + b"]," + _USAGE % (tokens + 7, tokens) + b"}\n\n"


def whole(ask: Ask, tokens: int, piece_bytes: int) -> bytes:
    """The body of a plain answer."""
    text = b"".join(_text(ask, number, piece_bytes) for number in range(tokens))
    shape = (
        b'{"index":%d,"message":{"role":"assistant","content":"%b"},"logprobs":null,"finish_reason":"stop"}'
        if ask.is_chat
        else b'{"index":%d,"text":"%b","logprobs":null,"finish_reason":"stop"}'
    )
    return b'{"id":"%b","object":"%b","created":1,"model":"%b","choices":[%b],%b}' % (
        ask.request_id.encode(),
        b"chat.completion" if ask.is_chat else b"text_completion",
        ask.model.encode(),
        b",".join(shape % (index, text) for index in range(ask.choices)),
        _USAGE % (tokens + 7, tokens),
    )


def error(ask: Ask, status: int) -> bytes:
    """The body of an error; an error event holds the same."""
    return b'{"error":{"message":"%b cannot be served","type":"Error","param":null,"code":%d}}' % (
        ask.marker.encode(),
        status,
    )


def is_usage(event: bytes) -> bool:
    """Whether it is the usage event."""
    return b'"choices":[],"usage":' in event


def _delta(index: int, delta: bytes) -> bytes:
    return b'{"index":%d,"delta":{%b},"logprobs":null,"finish_reason":null}' % (index, delta)


def _text(ask: Ask, number: int, piece_bytes: int) -> bytes:
    return b"%b%d \xc3\xa9%b " % (ask.marker.encode(), number, b"x" * piece_bytes)
