"""Errors on the wire: ours as OpenAI's clients expect them, and an engine's own made to look the same.

Shape: `{"error": {"message", "type", "param", "code"}}`, all four present, `code` a string or null. vLLM writes the
status there as an integer, answers unknown paths as `{"detail": …}` and a wrong key as `{"error": "Unauthorized"}`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from gateway.core.errors import GatewayError, RateLimited, StreamInterrupted

_encode = msgspec.json.Encoder().encode
JSON = b"application/json"


def body_of(error: GatewayError) -> bytes:
    """The JSON body of `error`."""
    return _body(error.message, error.type, error.param, error.code)


def headers_of(error: GatewayError) -> list[tuple[bytes, bytes]]:
    """The headers that tell a client whether and when to try again, besides the content type."""
    headers = [(b"content-type", JSON), (b"x-should-retry", b"true" if error.retry else b"false")]
    if error.retry_after is not None:
        headers.append((b"retry-after", b"%d" % error.retry_after))
    if error.retry_after_ms is not None:
        headers.append((b"retry-after-ms", b"%d" % error.retry_after_ms))
    if isinstance(error, RateLimited):
        headers += error.headers
    return headers


def event_of(error: StreamInterrupted) -> bytes:
    """The last event of a stream that failed after content was sent. No `[DONE]` follows it."""
    return b"data: %b\n\n" % body_of(error)


@dataclass(frozen=True, slots=True)
class EngineError:
    """What an engine said went wrong, cleaned: the message is about the caller's own request."""

    message: str
    param: str | None
    status: int
    code: str


TOO_LONG = "context_length_exceeded"
_CONTEXT_PARAMS = frozenset({"input_tokens", "input_text", "max_tokens", "max_completion_tokens"})


def read_engine_error(status: int, body: bytes) -> EngineError:
    """Understand an engine's error answer, or the value of an in-band `error`. Never raises.

    `status` is that of the HTTP answer; an integer `code` in an in-band error says more and wins.
    """
    fields = _fields(body)
    code = fields.get("code")
    if status == 200 and isinstance(code, int):  # noqa: PLR2004 - an error event under HTTP 200
        status = code
    param = fields.get("param")
    param = param if isinstance(param, str) else None
    message = fields.get("message")
    message = message if isinstance(message, str) and message else "The engine refused the request."
    too_long = "context length" in message or (param in _CONTEXT_PARAMS and "max_model_len" in message)
    return EngineError(message, param, status, TOO_LONG if too_long else "invalid_request")


def client_body_of(error: EngineError) -> bytes:
    """An engine's 4xx in our shape."""
    return _body(error.message, "invalid_request_error", error.param, error.code)


def _body(message: str, kind: str, param: str | None, code: str | None) -> bytes:
    return _encode({"error": {"message": message, "type": kind, "param": param, "code": code}})


def _fields(body: bytes) -> Mapping[str, Any]:
    """The error object, wherever this engine puts it; empty when there is none."""
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    if not isinstance(answer, dict):
        return {}
    inner = answer.get("error", answer)
    return inner if isinstance(inner, dict) else {"message": inner}
