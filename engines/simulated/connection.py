"""One client connection: HTTP/1.1 in, bytes out, one response at a time. Knows no routes."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import httptools

from engines.simulated import refusals
from engines.simulated.heads import Heads

if TYPE_CHECKING:
    from engines.simulated.idling import Idling

_FLUSH_POLL_SECONDS = 0.0005
_LINGER_ZERO = struct.pack("ii", 1, 0)
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Request:
    """A complete request. Header names are in lower case."""

    __slots__ = ("body", "headers", "keep_alive", "method", "target")

    def __init__(
        self, method: str, target: bytes, headers: dict[bytes, bytes], body: bytes, keep_alive: bool
    ) -> None:
        self.method = method
        self.target = target
        self.headers = headers
        self.body = body
        self.keep_alive = keep_alive


class Behind(Protocol):
    """What a response is fed by, as the connection sees it."""

    def on_gone(self, *, by_fault: bool) -> None:
        """Stop: nobody will read the rest."""

    def on_stall(self) -> None:
        """Stop, and hold the room."""

    def on_writable(self, is_writable: bool) -> None:
        """Send or keep back."""


class App(Protocol):
    """What answers requests."""

    def handle(self, request: Request, connection: Connection) -> None:
        """Answer, now or later."""

    def die(self, code: int) -> None:
        """End the whole engine."""


class Connection(asyncio.Protocol):
    """Parses requests and hands them to `app`, one after the other."""

    def __init__(
        self,
        app: App,
        heads: Heads,
        idling: Idling,
        loop: asyncio.AbstractEventLoop,
        everyone: set[Connection],
    ) -> None:
        self.heads = heads
        self.keep_alive = True
        self.served = 0
        self.behind: Behind | None = None
        self.split_bytes = 0
        self.is_lost = False
        self._app = app
        self._idling = idling
        self._loop = loop
        self._everyone = everyone
        self._parser = httptools.HttpRequestParser(self)
        self._transport: Any = None
        self._target = b""
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []
        self._queue: deque[Request] = deque()
        self._is_busy = False
        self._pieces: deque[bytes] = deque()
        self._is_over_pending = False
        self._timers: list[asyncio.TimerHandle] = []

    # --- events of the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = transport
        self._everyone.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 every loss is the same
        """End what is going on."""
        self._gone(by_fault=False)

    def data_received(self, data: bytes) -> None:
        """Parse."""
        self._idling.busy(self)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # an upgrade that nobody offers is an ordinary request
        except httptools.HttpParserError:
            self._reject()
            return
        # Not from within the parser: it would take an error of ours for an error of the client.
        if self._queue and not self._is_busy:
            self._next()

    def pause_writing(self) -> None:
        """The client reads too slowly."""
        if self.behind is not None:
            self.behind.on_writable(False)

    def resume_writing(self) -> None:
        """The client reads again."""
        if self.behind is not None:
            self.behind.on_writable(True)

    # --- events of the parser

    def on_message_begin(self) -> None:
        """Forget the last message."""
        self._target = b""
        self._headers = {}
        self._body = []

    def on_url(self, url: bytes) -> None:
        """Collect the target."""
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Collect a header; of repeated ones the first counts, as in Starlette."""
        self._headers.setdefault(name.lower(), value)

    def on_headers_complete(self) -> None:
        """Let a client that asks send its body."""
        if self._headers.get(b"expect", b"").lower() == b"100-continue":
            self._transport.write(_CONTINUE)

    def on_body(self, body: bytes) -> None:
        """Collect the body."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """Hand the request on, or keep it until the one before is answered."""
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        keep_alive = self._parser.should_keep_alive() and self._parser.get_http_version() != "1.0"
        method = self._parser.get_method().decode()
        self._queue.append(Request(method, self._target, self._headers, body, keep_alive))

    def _next(self) -> None:
        request = self._queue.popleft()
        self._is_busy = True
        self.keep_alive = request.keep_alive
        self._app.handle(request, self)

    def _reject(self) -> None:
        """Answer what is not HTTP as uvicorn does."""
        head = self.heads.reply(400, len(refusals.NOT_HTTP), content_type=None, vary=False, keep_alive=False)
        kind = b"content-type: text/plain; charset=utf-8\r\n"
        self._transport.write(
            head.replace(b"content-length", kind + b"content-length", 1) + refusals.NOT_HTTP
        )
        self._transport.close()

    # --- what a response may do

    def write(self, data: bytes) -> None:
        """Send, cut in pieces if that is the fault."""
        if self.split_bytes <= 0:
            self._transport.write(data)
            return
        size = self.split_bytes
        if not self._pieces:
            self._loop.call_soon(self._send_piece)
        self._pieces.extend(data[i : i + size] for i in range(0, len(data), size))

    def _send_piece(self) -> None:
        if self.is_lost or not self._pieces:
            return
        self._transport.write(self._pieces.popleft())
        if self._pieces:
            self._loop.call_soon(self._send_piece)
        elif self._is_over_pending:
            self._is_over_pending = False
            self.response_over()

    def response_over(self) -> None:
        """Go on to the next request, or close."""
        if self._pieces:
            self._is_over_pending = True
            return
        self.behind = None
        self.split_bytes = 0
        self.served += 1
        self._is_busy = False
        if self.is_lost:
            return
        if not self.keep_alive:
            self._transport.close()
        elif self._queue:
            self._loop.call_soon(self._resume)
        else:
            self._idling.idle(self)

    def _resume(self) -> None:
        if self._queue and not self._is_busy and not self.is_lost:
            self._next()

    def cut(self, *, reset: bool) -> None:
        """Drop the connection: FIN after what was written, or RST. A unix socket knows no RST: its peer sees the end."""
        if self.is_lost:
            return
        if reset:
            peer = self._transport.get_extra_info("socket")
            if peer is not None and peer.family != socket.AF_UNIX:
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
            self._transport.abort()
        else:
            self._transport.close()
        self._gone(by_fault=True)

    def after_flush(self, act: Callable[[], None]) -> None:
        """Act once everything written is with the kernel."""
        if self.is_lost:
            return
        if self._pieces or self._transport.get_write_buffer_size() > 0:
            self.later(_FLUSH_POLL_SECONDS, lambda: self.after_flush(act))
            return
        act()

    def later(self, seconds: float, act: Callable[[], None]) -> None:
        """Act later, unless the connection is lost before."""
        self._timers = [
            timer for timer in self._timers if not timer.cancelled() and timer.when() > self._loop.time()
        ]
        self._timers.append(self._loop.call_later(seconds, act))

    def die(self, code: int) -> None:
        """End the whole engine."""
        self._app.die(code)

    def stall(self) -> None:
        """Leave the request where it is until the client goes."""
        if self.behind is not None:
            self.behind.on_stall()

    def abandon(self) -> None:
        """End the generation behind this response: a fault took its place."""
        behind, self.behind = self.behind, None
        if behind is not None:
            behind.on_gone(by_fault=True)

    def close_if_idle(self) -> None:
        """Close unless a response is under way."""
        if not self._is_busy and not self.is_lost:
            self._transport.close()

    def _gone(self, *, by_fault: bool) -> None:
        self.is_lost = True
        self._everyone.discard(self)
        self._idling.busy(self)
        self._queue.clear()
        self._pieces.clear()
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        behind, self.behind = self.behind, None
        if behind is not None:
            behind.on_gone(by_fault=by_fault)
