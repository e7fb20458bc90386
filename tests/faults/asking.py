"""Many clients at once: each asks, reads to the end, and says what it got. None waits for ever."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from tests.support.gateway import MODEL
from tests.support.peer import Ending, Response, parse
from tests.support.scripted import DONE

HUNG_SECONDS = 60.0
"""What takes longer than this hangs."""


class Got(Enum):
    """How a request ended for its client."""

    COMPLETE = "complete"  # all of it, and in good form
    INTERRUPTED = "interrupted"  # told in-band, behind content
    REFUSED = "refused"  # an error status
    RESET = "reset"  # the connection broke, and nothing pretended otherwise
    TRUNCATED = "truncated"  # a short answer that looks whole: what must never be
    HUNG = "hung"  # no end


@dataclass(eq=False)
class Asked(asyncio.Protocol):
    """One request on its own connection."""

    number: int
    body: dict[str, Any]
    raw: bytearray = field(default_factory=bytearray)
    ending: Ending = Ending.OPEN
    content_at: float | None = None
    """When the first bytes of its answer came, in the loop's time."""
    ended_at: float | None = None
    is_hung: bool = False

    def __post_init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.over: asyncio.Future[None] = self._loop.create_future()
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # a stream socket's
        raw = json.dumps(self.body).encode()
        self.transport.write(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n"
            b"x-request-id: %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
            % (self.id.encode(), len(raw), raw)
        )

    def data_received(self, data: bytes) -> None:
        if self.content_at is None:
            self.content_at = self._loop.time()
        self.raw += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.ending = Ending.FIN if exc is None else Ending.RST
        self.ended_at = self._loop.time()
        if not self.over.done():
            self.over.set_result(None)

    @property
    def id(self) -> str:
        return f"asked-{self.number}"

    @property
    def is_stream(self) -> bool:
        return bool(self.body.get("stream"))

    def answer(self) -> Response | None:
        """What came, as far as it is an answer."""
        return parse(bytes(self.raw), at_end=True)[0] if b"\r\n\r\n" in self.raw else None

    def got(self) -> Got:
        """How it ended. Raises `AssertionError` when what came is no answer at all."""
        if self.is_hung:
            return Got.HUNG
        answer = self.answer()
        if answer is None:
            return Got.RESET
        if answer.status != 200:
            assert answer.is_complete, answer.raw
            assert list(answer.json()["error"]) == ["message", "type", "param", "code"]
            return Got.REFUSED
        if answer.is_complete:
            return Got.COMPLETE if self._is_whole(answer) else Got.TRUNCATED
        return Got.INTERRUPTED if self._is_told(answer) else Got.RESET

    def _is_told(self, answer: Response) -> bool:
        """Whether the last thing that came is the word that the answer is cut."""
        last = b"".join(answer.body.split(b"\n\n")[-2:])
        is_event = self.is_stream and b'"code":"stream_interrupted"' in last
        return is_event and DONE not in answer.body and self.ending is Ending.FIN

    def _is_whole(self, answer: Response) -> bool:
        """Whether it has as many tokens as were asked for: the engine gives all of them."""
        wanted = self.body["max_tokens"]
        if not self.is_stream:
            return bool(answer.json()["usage"]["completion_tokens"] == wanted)
        tokens = answer.body.count(b'"delta":{"content":"')
        finishes = answer.body.count(b'"finish_reason":"length"')
        return answer.events[-1] == DONE and (tokens, finishes) == (wanted, 1)


async def begin(address: tuple[str, int], asked: Asked) -> None:
    """Connect and send the request."""
    loop = asyncio.get_running_loop()
    try:
        await loop.create_connection(lambda: asked, *address)
    except OSError as error:  # refused: as good as reset
        asked.connection_lost(error)


async def finish(asked: Asked, *, seconds: float = HUNG_SECONDS) -> None:
    """Wait for the end of the answer; what has none by then is hung."""
    await asyncio.wait((asked.over,), timeout=seconds)
    if not asked.over.done():
        asked.is_hung = True
        asked.transport.abort()


async def ask(address: tuple[str, int], asked: Asked) -> None:
    """Ask, and wait for the end."""
    await begin(address, asked)
    await finish(asked)


def body(*, tokens: int, stream: bool, text: str = "Count.") -> dict[str, Any]:
    """A request for exactly so many tokens."""
    return {
        "model": MODEL,
        "messages": [{"role": "user", "content": text}],
        "max_tokens": tokens,
        "stream": stream,
        "ignore_eos": True,
    }
