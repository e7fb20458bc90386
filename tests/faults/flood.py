"""An engine whose streams never end, as fast as they are taken: a process, `python -m tests.faults.flood SOCKET`.

It gives large events, one after another, and none faster than its peer reads. What the model's name asks for besides is
in `STREAMS`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.faults.processes import EngineProcess
from tests.support.scripted import ROLE, STREAM_HEAD, chunk, content

EVENT_BYTES = 4096
MODELS = ("large-events", "tiny-events", "no-newline", "no-headers-end")


def _stream(model: str) -> Iterator[bytes]:
    """What is sent again and again, for ever; the beginning first."""
    if model == "no-headers-end":
        yield b"HTTP/1.1 200 OK\r\n"
        while True:
            yield b"x-filler: " + b"a" * EVENT_BYTES + b"\r\n"
    yield STREAM_HEAD + chunk(ROLE) + chunk(content("x"))
    if model == "no-newline":
        yield chunk(b'data: {"choices":[{"index":0,"delta":{"content":"')
        while True:
            yield chunk(b"a" * EVENT_BYTES)
    tiny = content("x")
    event = content("x" * EVENT_BYTES) if model == "large-events" else tiny
    events = chunk(event) if model == "large-events" else b"".join([chunk(tiny)] * (EVENT_BYTES // len(tiny)))
    while True:
        yield events


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            if head.startswith(b"GET"):
                listed = json.dumps({"object": "list", "data": [{"id": model} for model in MODELS]}).encode()
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(listed), listed))
                continue
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            model = json.loads(await reader.readexactly(length))["model"]
            for data in _stream(model):
                writer.write(data)
                await writer.drain()
    writer.close()


async def _serve(path: str) -> None:
    server = await asyncio.start_unix_server(_answer, path)
    await server.serve_forever()


class FloodProcess(EngineProcess):
    """The process. Its models are served under their own names."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "flood", is_tcp=False)
        self.command = [sys.executable, "-m", "tests.faults.flood", str(folder / "flood.sock")]
        self.models = {model: model for model in MODELS}


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1]))
