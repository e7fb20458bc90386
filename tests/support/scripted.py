"""An engine that answers with given bytes, cut where a test wants them cut, and ends as it is told."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.peer import Ending

STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"
)
LAST_CHUNK = b"0\r\n\r\n"
DONE = b"data: [DONE]\n\n"


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def event(value: Any) -> bytes:
    """One event of a stream."""
    return b"data: %b\n\n" % json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def content(text: str, *, finish: str | None = None, index: int = 0) -> bytes:
    """The event of one piece of text."""
    return event({"choices": [{"index": index, "delta": {"content": text}, "finish_reason": finish}]})


ROLE = event(
    {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]}
)


def stream(*events: bytes, last: bytes = LAST_CHUNK) -> bytes:
    """A whole streamed answer, each event a chunk."""
    return STREAM_HEAD + b"".join(map(chunk, events)) + last


def whole(body: bytes, *, status: int = 200, head: bytes = b"content-type: application/json\r\n") -> bytes:
    """A whole plain answer."""
    return b"HTTP/1.1 %d X\r\n%bcontent-length: %d\r\n\r\n%b" % (status, head, len(body), body)


PLAIN_BODY = (
    b'{"id":"x","model":"simulated","choices":[{"index":0,"message":{"role":"assistant","content":"\xc3\xa9"},'
    b'"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":1}}'
)


@dataclass
class ScriptedEngine:
    """Answers each request with `parts`, one write each, then ends the connection as `ending` says."""

    parts: Sequence[bytes] = ()
    ending: Ending = Ending.OPEN
    requests: list[bytes] = field(default_factory=list)
    address: str = ""
    connections: set[_Connection] = field(default_factory=set)
    accepted: int = 0
    on_request: Callable[[int], None] = lambda _: None
    """Told the number of each request, from 0, before it is answered."""

    @contextlib.asynccontextmanager
    async def serve(self, path: Path | None = None) -> AsyncIterator[ScriptedEngine]:
        """Listen on a unix socket, or on TCP, in this block."""
        loop = asyncio.get_running_loop()
        if path is not None:
            server = await loop.create_unix_server(lambda: _Connection(self), str(path))
            self.address = f"unix:{path}"
        else:
            server = await loop.create_server(lambda: _Connection(self), "127.0.0.1", 0)
            host, port = server.sockets[0].getsockname()
            self.address = f"http://{host}:{port}"
        try:
            yield self
        finally:
            server.close()
            for connection in tuple(self.connections):
                connection.transport.abort()
            await server.wait_closed()


class _Connection(asyncio.Protocol):
    def __init__(self, engine: ScriptedEngine) -> None:
        self.engine = engine
        self.transport: Any = None
        self.received = b""
        self.parts: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.engine.accepted += 1
        self.engine.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.engine.connections.discard(self)

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, blank, body = self.received.partition(b"\r\n\r\n")
        if not blank:
            return
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        if len(body) < length:
            return
        self.engine.requests.append(self.received)
        self.received = b""
        self.engine.on_request(len(self.engine.requests) - 1)
        self.parts = list(self.engine.parts)
        self._next()

    def _next(self) -> None:
        if self.transport.is_closing():
            return
        if self.transport.get_write_buffer_size():
            asyncio.get_running_loop().call_later(0, self._next)
        elif self.parts:
            part = self.parts.pop(0)
            if part:
                self.transport.write(part)
            # Twice through the loop: the reader has its turn, and a read of its own, before the next part.
            loop = asyncio.get_running_loop()
            loop.call_soon(loop.call_later, 0, self._next)
        elif self.engine.ending is not Ending.OPEN:
            if self.engine.ending is Ending.RST:
                linger = struct.pack("ii", 1, 0)
                self.transport.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, linger
                )
                self.transport.abort()
            else:
                self.transport.close()
