"""The load client: whole requests out, answers parsed and checked as they come, nothing awaited.

About as cheap as a Python client can be, because it shares a core with the engine on a small machine. An answer counts
only if it is complete: status 200 and the expected number of tokens; of a stream also the expected number of events
and `[DONE]` at its end. Anything else is lost, with the reason counted.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import cast

import httptools

from benchmarks.requests import Request

_DONE = b"data: [DONE]\n\n"
_OPENING_EVENTS = 1  # the event that names the role comes before the first content

Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Sample:
    """One exchange that is over. Times are those of `now`; `failure` is `None` for a whole answer."""

    started: float
    first: float | None
    """When the first content was there."""
    ended: float
    failure: str | None


Done = Callable[[Sample], None]
now = time.perf_counter
"""The clock of all samples. Not the event loop's: uvloop's counts in milliseconds and stands still within a turn."""


class Connection(asyncio.Protocol):
    """One kept connection, with at most one exchange on it."""

    __slots__ = (
        "_body",
        "_client",
        "_done",
        "_events",
        "_first",
        "_parser",
        "_request",
        "_started",
        "_tail",
        "transport",
    )

    def __init__(self, client: Client) -> None:
        self._client = client
        self._parser = httptools.HttpResponseParser(self)
        self._request: Request | None = None
        self._done: Done
        self._started = 0.0
        self.transport: asyncio.Transport

    def begin(self, request: Request, started: float, done: Done) -> None:
        """Send `request`; `done` is called once, with what came of it."""
        self._request, self._started, self._done = request, started, done
        self._first: float | None = None
        self._events = 0
        self._tail = b""
        self._body: list[bytes] = []
        self.transport.write(request.payload)

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Parse."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.transport.abort()
            self._over("not HTTP")

    def connection_lost(self, exc: Exception | None) -> None:
        """An exchange that was under way is lost."""
        self._client.dropped(self)
        self._over("closed" if exc is None else "reset")

    # --- httptools callbacks

    def on_body(self, body: bytes) -> None:
        """Count the events of a stream, keep the body of a whole answer."""
        request = self._request
        if request is None:
            return
        if not request.stream:
            self._body.append(body)
            return
        events = body.count(b"\n\n")
        if self._tail[-1:] == b"\n" == body[:1]:  # a blank line that was split between two reads
            events += 1
        self._tail = body[-len(_DONE) :] if len(body) >= len(_DONE) else (self._tail + body)[-len(_DONE) :]
        self._events += events
        self._client.events += events
        self._client.pieces += 1
        if self._first is None and self._events > _OPENING_EVENTS:
            self._first = now()

    def on_message_complete(self) -> None:
        """Check the answer, and keep the connection."""
        if self._request is not None:
            failure = self._judge(self._request)
            if self._parser.should_keep_alive():
                self._client.idle.append(self)
            self._over(failure)

    def _judge(self, request: Request) -> str | None:
        status = self._parser.get_status_code()
        if status != 200:
            return f"status {status}"
        if not request.stream:
            return None if request.completion in b"".join(self._body) else "wrong number of tokens"
        if self._tail != _DONE:
            return "no [DONE]"
        return None if self._events == request.tokens + _OPENING_EVENTS + 1 else "wrong number of events"

    def _over(self, failure: str | None) -> None:
        if self._request is None:
            return
        self._request = None
        sample = Sample(self._started, self._first, now(), failure)
        self._client.ended(sample)
        self._done(sample)


class Client:
    """Connections to one system, its addresses in turn. Closed with `close`."""

    def __init__(self, addresses: Sequence[Address]) -> None:
        self._addresses = cycle(addresses)
        self._loop = asyncio.get_running_loop()
        self._open: set[Connection] = set()
        self._connecting: set[asyncio.Task[None]] = set()
        self.idle: list[Connection] = []
        self.events = 0
        self.pieces = 0
        """In how many pieces the events came: fewer than events where a system merged them."""
        self.completed = 0
        self.lost: Counter[str] = Counter()

    async def connect(self, count: int) -> None:
        """Open `count` more connections. Raises `OSError`."""
        for _ in range(count):
            self.idle.append(await self._connection())

    def send(self, request: Request, started: float, done: Done) -> None:
        """Send now, on an idle connection if there is one. `started` is when the sample's time begins."""
        if self.idle:
            self.idle.pop().begin(request, started, done)
            return
        task = self._loop.create_task(self._send_fresh(request, started, done))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    def ended(self, sample: Sample) -> None:
        """Count an exchange that is over."""
        if sample.failure is None:
            self.completed += 1
        else:
            self.lost[sample.failure] += 1

    def dropped(self, connection: Connection) -> None:
        """A connection closed."""
        self._open.discard(connection)
        if connection in self.idle:
            self.idle.remove(connection)

    def close(self) -> None:
        """Close every connection; what is under way on them is over."""
        for task in tuple(self._connecting):
            task.cancel()
        self.idle.clear()
        for connection in tuple(self._open):
            connection.transport.abort()

    async def _connection(self) -> Connection:
        host, port = next(self._addresses)
        _, connection = await self._loop.create_connection(lambda: Connection(self), host, port)
        self._open.add(connection)
        return connection

    async def _send_fresh(self, request: Request, started: float, done: Done) -> None:
        try:
            connection = await self._connection()
        except OSError:
            sample = Sample(started, None, now(), "refused")
            self.ended(sample)
            done(sample)
            return
        connection.begin(request, started, done)
