"""The bytes of a client's requests."""

from __future__ import annotations

import json
from typing import Any

from simulation.schedule.values import Flaw, RequestPlan

CHUNK_BYTES = 700
POISON = "poison"


def render(plan: RequestPlan, marker: str) -> bytes:
    """One request as it goes over the wire. Its `x-request-id` is its marker."""
    if plan.control:
        return b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n"
    if plan.flaw is Flaw.NOT_HTTP:
        return b"\x16\x03\x01 this is no HTTP\r\n\r\n"
    body = (
        b'{"model": "alpha", ' if plan.flaw is Flaw.NOT_JSON else json.dumps(_fields(plan, marker)).encode()
    )
    path = b"/v1/chat/completions" if plan.chat else b"/v1/completions"
    is_chunked = plan.chunked and not plan.is_1_0
    version = b"1.0" if plan.is_1_0 else b"1.1"
    framing = b"transfer-encoding: chunked" if is_chunked else b"content-length: %d" % len(body)
    if plan.deadline_ms is not None:
        framing += b"\r\nx-request-deadline-ms: %d" % plan.deadline_ms
    if plan.expects:
        framing += b"\r\nexpect: 100-continue"
    if is_chunked:
        pieces = [body[at : at + CHUNK_BYTES] for at in range(0, len(body), CHUNK_BYTES)]
        body = b"".join([b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces]) + b"0\r\n\r\n"
    return (
        b"POST %b HTTP/%b\r\nhost: localhost\r\ncontent-type: application/json\r\nx-request-id: %b\r\n%b\r\n\r\n%b"
        % (path, version, marker.encode(), framing, body)
    )


def _fields(plan: RequestPlan, marker: str) -> dict[str, Any]:
    text = POISON if plan.is_poison else f"{marker} {'p' * plan.padding_bytes}"
    fields: dict[str, Any] = {"model": "nobody" if plan.flaw is Flaw.NO_SUCH_MODEL else plan.model}
    if plan.chat:
        fields["messages"] = [{"role": "user", "content": text}]
    else:
        fields["prompt"] = text
    if plan.stream:
        fields["stream"] = True
    if plan.usage and plan.stream:
        fields["stream_options"] = {"include_usage": True}
    if plan.tier is not None:
        fields["service_tier"] = plan.tier
    if plan.choices > 1:
        fields["n"] = plan.choices
    return fields
