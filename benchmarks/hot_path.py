"""What our own code costs on the hot path, without the kernel: `python -m benchmarks.hot_path`.

The parts of a real gateway, with transports that only keep what is written. The least of many repeats is shown: other
processes can make code slower but never faster, so this is steady on a machine on which `benchmarks.overhead` is not.
"""

from __future__ import annotations

import asyncio
import gc
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, BinaryIO, cast

import typer
import uvicorn
import uvloop
from uvicorn.server import ServerState

from benchmarks.requests import MODEL, chat
from config.paths import Paths
from config.schema import Config
from gateway.app import build
from gateway.auth.keys import KeyFile
from gateway.fleet.endpoint import Condition, Endpoint, Sighting, UnixAddress
from gateway.observe.calls import CallLog
from gateway.observe.logs import LineWriter, as_json
from gateway.proxy.edge import EdgeProtocol, edge_protocol
from gateway.transport import http1

_HEAD = b"HTTP/1.1 200 OK\r\ndate: Mon, 23 Nov 2026 00:00:00 GMT\r\nserver: uvicorn\r\n"
_IDENTITY = b'"id":"chatcmpl-req-0123456789abcdef01234567","object":"chat.completion.chunk","created":1,"model":"bench","choices":['
_ROLE = b'{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}'
_TOKEN = b'{"index":0,"delta":{"content":" quick"},"logprobs":null,"finish_reason":null,"token_ids":null}'
_STOP = b'{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop","stop_reason":null,"token_ids":null}'
_USAGE = (
    b'"usage":{"prompt_tokens":240,"total_tokens":256,"completion_tokens":16,"prompt_tokens_details":null}'
)
_ANSWER = (
    b'{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"bench","choices":[{"index":0,"message":'
    b'{"role":"assistant","content":"%s"},"logprobs":null,"finish_reason":"stop"}],%s}'
    % (b"quick " * 100, _USAGE)
)


class Wire(asyncio.Transport):
    """A transport that goes nowhere. Keeps the last write."""

    def __init__(self) -> None:
        super().__init__()
        self.last: Any = b""

    def write(self, data: Any) -> None:
        """Keep it."""
        self.last = data

    def is_closing(self) -> bool:
        """Never."""
        return False

    def close(self) -> None:
        """Do nothing."""

    def abort(self) -> None:
        """Do nothing."""


class Upstream:
    """Connections to an engine that are there at once."""

    connection: http1.Connection
    wire: Wire

    def connect(self, _: Endpoint, connection: http1.Connection) -> None:
        """Be connected."""
        self.connection, self.wire = connection, Wire()
        connection.connection_made(self.wire)


class Rig:
    """One client connection, one engine connection, a gateway between them."""

    def __init__(self, folder: Path, log: BinaryIO, config: Config | None = None) -> None:
        paths = Paths(folder)
        self.key = KeyFile(paths.keys, paths.pepper, time.time).create("bench").text
        gateway = build(config or Config(), paths, on_end=CallLog(LineWriter(log), as_json).on_end)
        self.upstream = Upstream()
        gateway.proxy.transport = http1.Http1(connect_seconds=1.0, connect=self.upstream.connect)
        endpoint = Endpoint(
            id="engine-0",
            address=UnixAddress("/nowhere"),
            engine="vllm",
            models=((MODEL, MODEL),),
            api_key=None,
            max_in_flight=100,
            idle_seconds=1e9,
        )
        gateway.catalog.publish("bench", [Sighting(endpoint, Condition.READY)])
        protocol: Any = edge_protocol(gateway.proxy, gateway.guard)
        serving = uvicorn.Config(
            cast("Any", gateway.app),
            http=protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
        )
        serving.load()
        self.wire = Wire()
        self.client: EdgeProtocol = protocol(serving, ServerState(), {})
        self.client.connection_made(self.wire)

    def plain(self, request: bytes, answer: bytes) -> None:
        """One whole exchange."""
        self.client.data_received(request)
        self.upstream.connection.data_received(answer)

    def stream(self, request: bytes, events: list[bytes]) -> None:
        """One stream, an event a read."""
        self.client.data_received(request)
        receive = self.upstream.connection.data_received
        for event in events:
            receive(event)


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def events(count: int) -> list[bytes]:
    """The reads of one streamed answer of `count` chunks of content."""
    head = _HEAD + b"content-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"
    one = [b"data: {" + _IDENTITY + choice + b"]}\n\n" for choice in (_ROLE, _TOKEN, _STOP)]
    usage = b"data: {" + _IDENTITY + b"]," + _USAGE + b"}\n\n"
    middle = [_chunk(one[1])] * count
    end = [_chunk(one[2]), _chunk(usage), _chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"]
    return [head + _chunk(one[0]), *middle, *end]


def answer() -> bytes:
    """The bytes of one whole answer."""
    return _HEAD + b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(_ANSWER), _ANSWER)


def least(work: Callable[[], None], *, per_repeat: int, repeats: int) -> float:
    """CPU seconds of one `work`, in the quickest of `repeats` repeats."""
    best = float("inf")
    for _ in range(repeats):
        begun = time.thread_time()
        for _ in range(per_repeat):
            work()
        best = min(best, time.thread_time() - begun)
    return best / per_repeat


async def measure(repeats: int, chunks: int) -> dict[str, float]:
    """Microseconds of each figure."""
    with tempfile.TemporaryDirectory(prefix="cascadia-bench-") as folder, null() as log:
        rig = Rig(Path(folder), log)
        plain = {
            f"plain {size // 1024} KB: µs/request": chat(
                rig.key, body_bytes=size, tokens=16, stream=False
            ).payload
            for size in (1024, 16 * 1024)
        }
        streamed = chat(rig.key, body_bytes=1024, tokens=16, stream=True).payload
        whole, short, long = answer(), events(1), events(1 + chunks)
        rig.plain(next(iter(plain.values())), whole)
        if not rig.wire.last.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"no answer: {rig.wire.last!r}")
        rig.stream(streamed, short)
        if not rig.wire.last.endswith(b"[DONE]\n\n\r\n0\r\n\r\n"):
            raise RuntimeError(f"no end: {rig.wire.last!r}")
        gc.collect()
        gc.freeze()
        found = {
            name: least(lambda p=payload: rig.plain(p, whole), per_repeat=50, repeats=repeats)  # type: ignore[misc]
            for name, payload in plain.items()
        }
        base = least(lambda: rig.stream(streamed, short), per_repeat=20, repeats=repeats)
        full = least(lambda: rig.stream(streamed, long), per_repeat=2, repeats=repeats)
        found["stream of one chunk: µs/request"] = base
        found["each further chunk: µs/chunk"] = (full - base) / chunks
        return {name: value * 1e6 for name, value in found.items()}


def null() -> BinaryIO:
    """Where a log goes that nobody reads."""
    return Path(os.devnull).open("wb")


def main(
    repeats: Annotated[int, typer.Option(min=1, help="The least of so many is shown.")] = 300,
    chunks: Annotated[int, typer.Option(min=1, help="Chunks of the long stream.")] = 200,
) -> None:
    """Measure our own code on the hot path."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        for name, value in runner.run(measure(repeats, chunks)).items():
            print(f"{name:<36}{value:8.2f}")


if __name__ == "__main__":
    typer.run(main)
