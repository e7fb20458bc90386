"""An engine's answer as it came over the wire, byte by byte."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from engines.simulated import Options, SimulatedEngine
from tests.support.gateway import MODEL
from tests.support.peer import Peer, parse
from tests.support.scripted import DONE

CREATED = 1_700_000_000
QUESTION = [{"role": "user", "content": "Wie heißt es?"}]
TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}


@dataclass(frozen=True)
class Recorded:
    """One request as a client sends it, and what an engine answered to it."""

    body: dict[str, Any]
    wire: bytes
    """The whole answer, head and framing included."""

    @property
    def is_stream(self) -> bool:
        return bool(self.body.get("stream"))

    @property
    def answer(self) -> bytes:
        """The body that a client is to get: the engine's, under the public name of the model."""
        return parse(self.wire)[0].body.replace(b'"model":"simulated"', b'"model":"%b"' % MODEL.encode())

    @property
    def events(self) -> list[bytes]:
        return [part + b"\n\n" for part in self.answer.split(b"\n\n")[:-1]]

    @property
    def content_at(self) -> int:
        """This many bytes of the wire hold the first content of the stream."""
        return self._end_of(next(event for event in parse(self.wire)[0].events if _has_content(event)))

    @property
    def done_at(self) -> int:
        """This many bytes of the wire hold all events of the stream."""
        return self._end_of(DONE)

    def _end_of(self, event: bytes) -> int:
        return self.wire.index(event) + len(event)


def _has_content(event: bytes) -> bool:
    deltas = [choice["delta"] for choice in json.loads(event.removeprefix(b"data: "))["choices"]]
    return any(delta.get("content") or delta.get("tool_calls") for delta in deltas)


SHAPES: dict[str, dict[str, Any]] = {
    "stream": {"stream": True, "stream_options": {"include_usage": True}},
    "two choices": {"stream": True, "n": 2},
    "tool call": {"stream": True, "tools": [TOOL], "tool_choice": "required"},
    "plain": {},
}
"""What is asked for. The answers are short: each is replayed once for every byte of it."""


async def recorded(shape: str, tokens: int = 2) -> Recorded:
    """What the simulated engine answers to a request of that shape."""
    body = {"model": "simulated", "messages": QUESTION, "max_tokens": tokens, **SHAPES[shape]}
    raw = json.dumps(body).encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: e\r\ncontent-type: application/json\r\n"
    engine = SimulatedEngine(Options(fixed_created=CREATED), multibyte=1.0, tokens=tokens)
    async with engine.serve() as running:
        host, port = running.address.removeprefix("http://").split(":")
        peer = await Peer.connect((host, int(port)))
        answer = await peer.ask(b"%bcontent-length: %d\r\n\r\n%b" % (head, len(raw), raw))
        peer.close()
    assert answer.status == 200, answer.raw
    assert answer.is_complete
    return Recorded({**body, "model": MODEL}, answer.raw)
