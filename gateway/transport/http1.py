"""The upstream client: HTTP/1.1 over unix sockets and TCP, with kept connections.

Written by hand because it is the hot path: a request on a kept connection is one `write`, its answer is pushed from
`data_received` into the sink, and nothing is awaited. Only making a connection takes a task.
"""

from __future__ import annotations

import asyncio
import errno
import re
import socket
import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, TypeVar, cast

import httptools

from gateway.core.call import Operation
from gateway.fleet.endpoint import Endpoint, UnixAddress
from gateway.transport.base import Loss, Sink, Transport

MAX_HEAD_BYTES = 64 * 1024
"""An answer whose headers are longer is not one."""
GONE_AFTER = {"TCP_USER_TIMEOUT": 9_500, "TCP_KEEPIDLE": 4, "TCP_KEEPINTVL": 1, "TCP_KEEPCNT": 6}
"""When an engine's host counts as gone: data unacknowledged for 9.5 s (in milliseconds), or silence from its kernel to
questions after 4 s without a packet - a stream that is only read sends nothing that could stay unacknowledged."""

_OURS = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL, errno.EAGAIN}
)
_INTERIM = (b"HTTP/1.1 1", b"HTTP/1.0 1")
_CONTENT_TYPE = re.compile(rb"\r\ncontent-type:([^\r]*)\r\n", re.IGNORECASE)
_Made = TypeVar("_Made")


class Connection(asyncio.Protocol):
    """One connection, and the sending that is on it. A `Sending` for its Exchange."""

    __slots__ = (
        "_body",
        "_complete",
        "_connecting",
        "_head",
        "_head_bytes",
        "_head_done",
        "_head_told",
        "_keep",
        "_parser",
        "_paused",
        "_payload",
        "_pool",
        "_reused",
        "_sink",
        "_status",
        "_transport",
        "idle_since",
    )

    def __init__(self, pool: _Pool) -> None:
        self._pool = pool
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._sink: Sink | None = None
        self._payload = b""
        self._reused = False
        self._paused = False
        self.idle_since = 0.0
        self._reset()

    def _reset(self) -> None:
        self._body: list[bytes] = []
        self._head = b""
        self._head_bytes = self._status = 0
        self._head_done = self._head_told = self._complete = self._keep = False

    # --- what an Exchange does

    def begin(self, payload: bytes, sink: Sink) -> None:
        """Send one request; on a connection that is still being made, as soon as it is."""
        self._sink = sink
        if self._transport is None:
            self._payload = payload
        else:
            self._reused = True
            self._transport.write(payload)

    def pause(self) -> None:
        """Stop reading."""
        if self._transport is not None and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if self._transport is not None and self._paused:
            self._paused = False
            self._transport.resume_reading()

    def close(self) -> None:
        """Give up: nothing more is told to the sink."""
        self._sink = None
        self._payload = b""
        if self._transport is not None:
            self._transport.abort()
        elif self._connecting is not None:
            self._connecting.cancel()

    # --- what the pool does

    def connect_by(self, task: asyncio.Task[None]) -> None:
        """Remember who is making this connection."""
        self._connecting = task

    def refused(self, loss: Loss) -> None:
        """No connection could be made."""
        self._lose(loss)

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send what waits for it."""
        self._transport = cast("asyncio.Transport", transport)  # a stream socket's; uvloop's is no subclass
        self._connecting = None
        if self._sink is None:
            self._transport.abort()
            return
        payload, self._payload = self._payload, b""
        self._transport.write(payload)

    def data_received(self, data: bytes) -> None:
        """Parse, then tell the sink once for all that came."""
        sink = self._sink
        if sink is None:  # an idle engine has nothing to say: whatever it is, the connection is no good
            self._discard()
            return
        if not self._head_done:
            self._head_bytes += len(data)
            self._head = self._head + data if self._head else data
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._lose(Loss.GARBAGE)
            return
        if not self._head_done:
            if self._head_bytes > MAX_HEAD_BYTES:
                self._lose(Loss.GARBAGE)
            return
        if not self._head_told:
            self._head_told = True
            head, self._head = self._head, b""
            sink.upstream_head(self._status, _content_type(head))
            if self._sink is not sink:
                return
        body = self._body
        if self._complete:
            self._finish()
        elif not body:
            return
        else:
            self._body = []
        sink.upstream_data(
            body[0] if len(body) == 1 else b"".join(body), last=self._complete or self._sink is not sink
        )

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """The engine closed, or we did."""
        self._transport = None
        if self._sink is None:
            self._pool.lost(self)
        else:
            untouched = self._reused and self._head_bytes == 0
            self._lose(Loss.STALE if untouched else Loss.LOST)

    # --- httptools callbacks

    def on_message_begin(self) -> None:
        """A second answer to one request: the connection is out of step and is not kept."""
        if self._complete:
            self._keep = False

    def on_headers_complete(self) -> None:
        """Note it; interim answers (1xx) are not ours."""
        if not self._complete:
            self._status = self._parser.get_status_code()
            self._head_done = self._status >= 200  # noqa: PLR2004

    def on_body(self, body: bytes) -> None:
        """Collect: the sink is told once per read."""
        if not self._complete:
            self._body.append(body)

    def on_message_complete(self) -> None:
        """Note whether the connection may be kept: only here does the parser know."""
        if self._head_done and not self._complete:
            self._complete = True
            self._keep = self._parser.should_keep_alive()

    def _finish(self) -> None:
        """Free the connection before the sink is told: whoever is woken by that may use it."""
        self._sink = None
        keep = self._keep
        self._reset()
        self.resume()
        if keep and self._transport is not None and not self._transport.is_closing():
            self._pool.give_back(self)
        else:
            self._discard()

    def _discard(self) -> None:
        self._pool.lost(self)
        if self._transport is not None:
            self._transport.abort()

    def _lose(self, loss: Loss) -> None:
        sink, self._sink = self._sink, None
        if self._transport is not None:
            self._transport.abort()
        if sink is not None:
            sink.upstream_lost(loss)


def _content_type(head: bytes) -> bytes:
    """The value of the header, from a head that the parser has found good; empty when it is not there.

    A method that the parser calls for each header would cost more than all else that is done with a head.
    """
    start = 0
    while head.startswith(_INTERIM, start):
        start = head.index(b"\r\n\r\n", start) + 4
    found = _CONTENT_TYPE.search(head, start, head.find(b"\r\n\r\n", start) + 2)
    return found[1].strip() if found else b""


Connect = Callable[[Endpoint, Connection], None]


class _Pool:
    """Idle connections to one endpoint, the last used first, and the bytes that begin each request to it."""

    __slots__ = ("_clock", "_closed", "_connect", "_heads", "_idle", "endpoint")

    def __init__(
        self, endpoint: Endpoint, connect: Callable[[Connection], None], clock: Callable[[], float]
    ) -> None:
        self.endpoint = endpoint
        self._connect = connect
        self._clock = clock
        self._idle: dict[Connection, None] = {}
        self._heads: dict[bytes, bytes] = {}
        self._closed = False

    def take(self, *, fresh: bool) -> Connection:
        """An idle connection young enough to be open, else one that is being made."""
        oldest = self._clock() - self.endpoint.idle_seconds
        while self._idle and not fresh:
            connection, _ = self._idle.popitem()
            if connection.idle_since > oldest:
                return connection
            connection.close()
        connection = Connection(self)
        self._connect(connection)
        return connection

    def give_back(self, connection: Connection) -> None:
        """Keep a connection whose answer is complete."""
        if self._closed or len(self._idle) >= self.endpoint.max_in_flight:
            connection.close()
            return
        connection.idle_since = self._clock()
        self._idle[connection] = None

    def lost(self, connection: Connection) -> None:
        """A connection closed while idle."""
        self._idle.pop(connection, None)

    def close(self) -> None:
        """Close what is idle, and what comes back later."""
        self._closed = True
        while self._idle:
            self._idle.popitem()[0].close()

    def head(self, operation: Operation) -> bytes:
        """The request's first lines, up to what differs from one request to the next."""
        head = self._heads.get(operation.path)
        if head is None:
            head = self._heads[operation.path] = _head(self.endpoint, operation)
        return head


def _head(endpoint: Endpoint, operation: Operation) -> bytes:
    address = endpoint.address
    host = "engine" if isinstance(address, UnixAddress) else str(address).removeprefix("http://")
    lines = [
        b"%b %b HTTP/1.1" % (operation.method, operation.path),
        b"host: %b" % host.encode(),
        b"content-type: application/json",
        b"accept-encoding: identity",
    ]
    if endpoint.api_key is not None:
        lines.append(b"authorization: Bearer %b" % endpoint.api_key.encode())
    return b"\r\n".join(lines)


class Http1:
    """All pools. `connect_seconds` bounds the making of a connection. Owned by the app, closed with `close`.

    `connect` makes a connection, and tells it of `connection_made`; by the sockets of the running loop if it is not given.
    """

    def __init__(
        self,
        *,
        connect_seconds: float,
        clock: Callable[[], float] = time.monotonic,
        connect: Connect | None = None,
    ) -> None:
        self._connect_seconds = connect_seconds
        self._clock = clock
        self._start = connect or self._connect_aside
        self._pools: dict[str, _Pool] = {}
        self._connecting: set[asyncio.Task[None]] = set()

    def send(
        self,
        endpoint: Endpoint,
        operation: Operation,
        request_id: str,
        body: bytes,
        sink: Sink,
        *,
        fresh: bool,
    ) -> Connection:
        """See `Transport.send`."""
        pool = self._pools.get(endpoint.id)
        if pool is None or pool.endpoint is not endpoint:
            pool = self._replace(endpoint, pool)
        connection = pool.take(fresh=fresh)
        connection.begin(
            b"%b\r\nx-request-id: %b\r\ncontent-length: %d\r\n\r\n%b"
            % (pool.head(operation), request_id.encode(), len(body), body),
            sink,
        )
        return connection

    def forget(self, endpoint: Endpoint) -> None:
        """See `Transport.forget`."""
        pool = self._pools.get(endpoint.id)
        if pool is not None and pool.endpoint == endpoint:
            del self._pools[endpoint.id]
            pool.close()

    async def close(self) -> None:
        """Close every idle connection and give up those being made."""
        for pool in self._pools.values():
            pool.close()
        self._pools.clear()
        for task in list(self._connecting):
            task.cancel()
        await asyncio.gather(*self._connecting, return_exceptions=True)

    def _replace(self, endpoint: Endpoint, old: _Pool | None) -> _Pool:
        if old is not None:
            old.close()
        pool = self._pools[endpoint.id] = _Pool(endpoint, partial(self._start, endpoint), self._clock)
        return pool

    def _connect_aside(self, endpoint: Endpoint, connection: Connection) -> None:
        task = asyncio.get_running_loop().create_task(self._connect(endpoint, connection))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)
        connection.connect_by(task)

    async def _connect(self, endpoint: Endpoint, connection: Connection) -> None:
        loop = asyncio.get_running_loop()
        address = endpoint.address
        try:
            if isinstance(address, UnixAddress):  # connects or fails at once: there is no network to wait for
                await loop.create_unix_connection(lambda: connection, address.path)
            else:
                transport, _ = await _within(
                    self._connect_seconds,
                    loop.create_connection(lambda: connection, address.host, address.port),
                )
                _notice_loss(transport)
        except OSError as error:  # TimeoutError is one
            connection.refused(Loss.OURS if error.errno in _OURS else Loss.REFUSED)
        except UnicodeError:  # a host that no name can have
            connection.refused(Loss.REFUSED)


async def _within(seconds: float, connecting: Coroutine[Any, Any, _Made]) -> _Made:
    """What `connecting` gives. Raises `TimeoutError` when that takes longer than `seconds`.

    A loop that was held up runs its timers before it looks at its sockets: a connection that is there by then counts.
    """
    task = asyncio.ensure_future(connecting)
    try:
        await asyncio.wait((task,), timeout=seconds)
        for _ in range(2):
            if not task.done():
                await asyncio.sleep(0)
        if not task.done():
            raise TimeoutError
        return task.result()
    finally:
        task.cancel()


def _notice_loss(transport: asyncio.Transport) -> None:
    sock = transport.get_extra_info("socket")
    if sock is None:
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in GONE_AFTER.items():
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


_: type[Transport] = Http1
