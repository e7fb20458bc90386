"""uvicorn's HTTP protocol within limits: what a client may send before, in and around a request.

What breaks a rule is answered in the API's error shape and its connection is closed: where framing is in doubt nothing
more is read (RFC 9112, section 11.2), so nothing behind it can pass for a request.
"""

from __future__ import annotations

import asyncio
import sys
from enum import Enum
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from gateway.core.errors import (
    Draining,
    GatewayError,
    HeadersTooLarge,
    InvalidRequest,
    MethodNotAllowed,
    RequestTimeout,
    TooManyConnections,
)
from gateway.openai import errors
from gateway.proxy.guard import Guard, HttpLimits

if TYPE_CHECKING:
    from uvicorn.config import Config
    from uvicorn.server import ServerState

LINGER_SECONDS = 5.0
"""How long a client may go on sending, unread, after it was answered and told that the connection closes. Closing
sooner would reset the connection under the answer (RFC 9112, section 9.6)."""
PRESSED_IDLE_SECONDS = 1.0
"""How long a connection may idle while nearly as many are open as may be."""
MAX_PIPELINED = 16
"""Requests queued behind a running one, on one connection, before no more is read from it."""
RATE_GRACE_SECONDS = 5.0
"""A body's rate is not judged before: a client that waits for `100 Continue` sends nothing for a second."""
FRAMING_BYTES = 64 * 1024
"""What the framing of a body (chunk sizes, trailers) may take beyond `FRAMING_FACTOR` times the body."""
FRAMING_FACTOR = 2
"""Chunks of a few bytes are work without an end: each is five bytes of framing, and a call for each."""

STATUS_LINES = {
    status.value: b"HTTP/1.1 %d %b\r\n" % (status.value, status.phrase.encode()) for status in HTTPStatus
}


class Phase(Enum):
    """What a connection is waiting for."""

    HEAD = "head"  # the rest of a header block, or the first request
    BODY = "body"  # the rest of a body
    SERVING = "serving"  # its answer
    IDLE = "idle"  # another request


HEAD, BODY, SERVING, IDLE = Phase


_BLANK_LINE = b"\r\n\r\n"
_VERSIONS = frozenset({"1.0", "1.1"})


class _Refused(Exception):
    """Stops the parser: what follows is not read."""


class GuardedProtocol(HttpToolsProtocol):
    """uvicorn's protocol within the limits of its `guard`. Made by `guarded_protocol`."""

    guard: Guard

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.since = 0.0
        """When the present phase began, in monotonic seconds."""
        self.phase = HEAD
        self.counted_address: str | None = None
        """The peer's address where connections are counted by it: not of a proxy, not of a unix socket."""
        self.address: str | None = None
        """The peer's address; `None` on a unix socket."""
        self._is_proxy = False
        self._running: Any = None
        self._refusal: GatewayError | None = None
        self._is_deaf = False
        self._lingering: asyncio.TimerHandle | None = None
        self._closing: asyncio.TimerHandle | None = None
        self._defaults: tuple[object, bytes] = (None, b"")
        self._in_head = False
        self._is_reading = False
        self._has_served = False
        self._backlog = b""  # requests that came in one read, and how far they were parsed
        self._fed_bytes = 0
        self._is_feeding = False
        self._unsent_at: float | None = None
        self._unsent_bytes = 0
        self._feed_bytes = 0
        self._fresh_bytes = 0  # of this read, if it began where a request begins
        self._head_bytes = self._raw_bytes = self._body_bytes = 0
        self._hosts = 0
        self._host = b""
        self._is_chunked = False

    # --- the connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Count the connection, or refuse it."""
        super().connection_made(transport)
        guard = self.guard
        self.since = guard.clock()
        if self.client is not None:
            self.address = self.client[0]
            self._is_proxy = guard.proxies.trust(self.address)
            if not self._is_proxy:
                self.counted_address = self.address
        try:
            guard.enter(self)
        except TooManyConnections as error:
            self.refuse(error)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell what runs, in the way in which uvicorn tells its latest cycle.

        The two differ when another request is queued behind the one that runs.
        """
        self.guard.leave(self)
        for timer in (self._lingering, self._closing):
            if timer is not None:
                timer.cancel()
        running = self._running
        if running is not None and not running.response_complete:
            running.disconnected = True
            running.message_event.set()
        super().connection_lost(exc)

    def drop(self) -> None:
        """Close at once."""
        self.transport.abort()

    def tick(self, now: float, *, is_pressed: bool) -> None:
        """Time has passed: end what has waited too long for the client."""
        if (self.flow.write_paused or self.transport.is_closing()) and self._is_stuck(now):
            return
        if self._is_deaf or self.phase is SERVING:
            return
        limits, waited = self.guard.limits, now - self.since
        if self.phase is IDLE:
            if waited > (PRESSED_IDLE_SECONDS if is_pressed else limits.idle_seconds):
                self._is_deaf = True
                self._close_by()
        elif self.phase is HEAD:
            if waited > limits.header_seconds:
                if self._in_head:
                    self.refuse(RequestTimeout("The request head did not arrive in time."))
                else:
                    self.transport.close()  # it never said a word
        elif waited > limits.body_seconds or (
            waited > RATE_GRACE_SECONDS and self._body_bytes < waited * limits.body_bytes_per_second
        ):
            self.refuse(RequestTimeout("The request body did not arrive in time."))

    def _is_stuck(self, now: float) -> bool:
        """Whether the client has taken nothing for too long of what it was sent; its connection is over then.

        A call that streams to it ends itself for that; what the application answers waits without end.
        """
        left = self.transport.get_write_buffer_size()
        if self._unsent_at is None or left < self._unsent_bytes:
            self._unsent_at = now
        self._unsent_bytes = left
        if now - self._unsent_at <= self.guard.limits.send_seconds:
            return False
        self.transport.abort()
        return True

    # --- parsing

    def data_received(self, data: bytes) -> None:
        """Parse, unless nothing that comes matters any more."""
        if self._is_deaf:
            return
        if self._backlog or _has_two_heads(data):
            self._backlog = self._backlog[self._fed_bytes :] + data
            self._fed_bytes = 0
            self._listen()
        else:
            self._feed(data)

    def _feed_backlog(self) -> None:
        """Parse requests that came in one read one by one, as far as they can be queued."""
        self._is_feeding = True
        backlog = self._backlog
        while self._fed_bytes < len(backlog) and not self._is_deaf and not self._is_full():
            begin = self._fed_bytes
            end = backlog.find(_BLANK_LINE, begin)
            self._fed_bytes = len(backlog) if end < 0 else end + len(_BLANK_LINE)
            self._feed(backlog[begin : self._fed_bytes])
        self._is_feeding = False
        if self._is_deaf or self._fed_bytes == len(backlog):
            self._backlog, self._fed_bytes = b"", 0

    def _is_full(self) -> bool:
        """Whether no request more can be taken now: enough are queued, or the client does not read its answers."""
        return self.flow.write_paused or len(self.pipeline) >= MAX_PIPELINED

    def _listen(self) -> None:
        """Read on, unless what came already cannot be taken yet."""
        if (
            self._is_feeding or self.transport.is_closing()
        ):  # an answer may complete inside the parsing of its request
            return
        if self._backlog:
            self._feed_backlog()
        if self._backlog or self._is_full():
            self.flow.pause_reading()
        else:
            self.flow.resume_reading()

    def _feed(self, data: bytes) -> None:
        self._feed_bytes = len(data)
        self._fresh_bytes = 0
        if self._in_head:
            self._head_bytes += len(data)
        elif self._is_reading:
            self._raw_bytes += len(data)
        else:
            self._fresh_bytes = len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            refusal, self._refusal = self._refusal, None
            self.refuse(refusal or InvalidRequest("Invalid HTTP request received."))
            return
        except httptools.HttpParserUpgrade:  # refused in `on_headers_complete`
            return
        if self._in_head:
            if self._head_bytes > self.guard.limits.header_bytes:
                self.refuse(_headers_too_large(self.guard.limits))
        elif self._raw_bytes > FRAMING_BYTES + FRAMING_FACTOR * self._body_bytes:
            self.refuse(InvalidRequest("The framing of the request body is larger than the body."))

    def on_message_begin(self) -> None:
        """Begin a request. Uvicorn's own beginning builds a scope, which only its own requests need."""
        self.url = b""
        self.expect_100_continue = False
        self.headers = []
        self._in_head = True
        self._head_bytes, self._fresh_bytes = self._fresh_bytes, 0
        self._raw_bytes = self._body_bytes = self._hosts = 0
        self._is_chunked = False
        if self.phase is IDLE:
            self.phase = HEAD
            self.since = self.guard.clock()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a field of the head. Trailers come this way too: they are nobody's headers, and dropped."""
        if not self._in_head:
            return
        name = name.lower()
        self.headers.append((name, value))
        if name == b"host":
            self._hosts += 1
            self._host = value
        elif name == b"expect":
            self.expect_100_continue = value.lower() == b"100-continue"
        elif name == b"transfer-encoding":
            # Anything else is for somebody who reads it in another way than we do (RFC 9112, section 6.1).
            if self._is_chunked or value.lower() != b"chunked":
                self._stop(InvalidRequest("The one transfer encoding that is understood is `chunked`, once."))
            self._is_chunked = True
        elif b"_" in name:  # read as `-` by some, which makes it another field
            self._stop(InvalidRequest(f"Header names with an underscore are not accepted: {_shown(name)}."))

    def on_headers_complete(self) -> None:
        """Judge the head, then hand the request on."""
        if self._is_deaf or self.transport.is_closing():  # more in the same read than will be answered
            self._is_deaf = True
            raise _Refused
        self._in_head = False
        self._check_head()
        self._is_reading = True
        if self.phase is not SERVING:
            self.phase = BODY
            self.since = self.guard.clock()
        self.take_request()

    def take_request(self) -> None:
        """Hand a request whose head is complete to the ASGI application."""
        url, is_expecting, headers = self.url, self.expect_100_continue, self.headers
        super().on_message_begin()
        self.url, self.expect_100_continue = url, is_expecting
        self.headers = self.scope["headers"] = headers
        if self._is_proxy:
            self.scope["client"] = (self.origin() or "", 0)
        super().on_headers_complete()
        if self.flow.read_paused and not self._backlog and not self._is_full():
            self.flow.resume_reading()  # uvicorn stops at the first one queued, and would not see the client leave

    def origin(self) -> str | None:
        """The address that the request being read comes from."""
        if self._is_proxy and self.address is not None:
            return self.guard.proxies.origin(self.address, self.headers)
        return self.address

    def on_body(self, body: bytes) -> None:
        """Count it."""
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """A whole request is there."""
        self.message_read()
        super().on_message_complete()

    def message_read(self) -> None:
        """The client has done its part: it waits now, not we."""
        self._is_reading = False
        self._raw_bytes = 0
        if not self.parser.should_keep_alive():  # a trailer can say so, when the head did not
            self.cycle.keep_alive = False
        if self.phase is BODY:
            self.phase = SERVING
        if not self._has_served:
            self._has_served = True
            self.guard.served(self)

    def _check_head(self) -> None:
        limits = self.guard.limits
        headers = self.headers
        if len(headers) > limits.header_fields or (
            self._head_bytes + self._feed_bytes > limits.header_bytes and self._size() > limits.header_bytes
        ):
            self._stop(_headers_too_large(limits))
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                self._stop(MethodNotAllowed("CONNECT is not served here."))
            self._stop(InvalidRequest("Upgrading the connection to another protocol is not supported."))
        if self.parser.get_http_version() not in _VERSIONS:
            self._stop(InvalidRequest("The HTTP version must be 1.1 or 1.0."))
        if self._hosts != 1:
            self._stop(InvalidRequest("A request has exactly one Host header."))
        if not self.guard.hosts.accept(self._host):
            self._stop(
                InvalidRequest(
                    f"This server does not answer to the host {_shown(self._host)}: "
                    "its operator has to list it in server.allowed_hosts."
                )
            )
        if not self.url.startswith(b"/") or b"#" in self.url:
            self._stop(
                InvalidRequest(
                    "The request target must be a path that begins with a slash, without a fragment."
                )
            )

    def _size(self) -> int:
        """Bytes of the header block, as far as it was kept."""
        return len(self.url) + sum([len(name) + len(value) + 4 for name, value in self.headers])

    def _stop(self, error: GatewayError) -> None:
        self._refusal = error
        raise _Refused

    # --- answers

    def on_response_complete(self) -> None:
        """What uvicorn does after an answer, without a timer: the sweep ends idle connections."""
        self.server_state.total_requests += 1
        if self._lingering is not None or self.transport.is_closing():
            return
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self._is_reading:  # answered without its body, which may be of any length
            self.linger()
            return
        else:
            self.phase = HEAD if self._in_head else IDLE
            self.since = self.guard.clock()
        self._listen()

    def resume_writing(self) -> None:
        """The client reads again."""
        super().resume_writing()
        self._unsent_at = None
        self._listen()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def refuse(self, error: GatewayError) -> None:
        """Answer `error` behind what was asked before it, read nothing more, close. Does nothing once that is so."""
        if self._is_deaf:
            return
        self._is_deaf = True
        if self._is_reading:
            self.abandon()
        running = self._running
        if running is not None and not running.response_complete:
            running.keep_alive = False
            self.pipeline.clear()
            return
        body = errors.body_of(error)
        lines = [
            *errors.headers_of(error),
            (b"x-request-id", b"req-%024x" % self.guard.rng.getrandbits(96)),
            (b"connection", b"close"),
            (b"content-length", b"%d" % len(body)),
        ]
        head = b"".join([b"%b: %b\r\n" % line for line in lines])
        self.transport.write(STATUS_LINES[error.status] + self.default_headers() + head + b"\r\n" + body)
        self.linger()

    def abandon(self) -> None:
        """End the request that is being read: nobody will answer it."""
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is None or cycle.response_complete:
            return
        if cycle is self._running and cycle.response_started:
            self.transport.abort()
        cycle.disconnected = True
        cycle.message_event.set()
        if cycle is self._running:
            self._running = None

    def send_400_response(self, msg: str) -> None:
        """Answer as uvicorn asks, in the API's shape."""
        self.refuse(InvalidRequest(msg))

    def shutdown(self) -> None:
        """Asked by uvicorn to end when what runs is over."""
        if self._lingering is not None:
            return
        if self._in_head:  # in the middle of a request that will not be served
            self.refuse(Draining("This gateway is shutting down. Try again.", retry_after=1))
        else:
            super().shutdown()

    def is_unread(self) -> bool:
        """Whether the client may be still sending what will not be answered."""
        return self._is_reading or self._is_deaf

    def linger(self) -> None:
        """Close our side, then drop what the client sends until it closes too or `LINGER_SECONDS` are over."""
        if self._lingering is not None or self.transport.is_closing():
            return
        self._is_deaf = True
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._lingering = self.loop.call_later(LINGER_SECONDS, self._close_by)
        self.flow.resume_reading()

    def close_when_sent(self) -> None:
        """Close our side once the client has taken what was written, and at once when it takes nothing more."""
        self._is_deaf = True
        self.transport.close()
        self._closing = self.loop.call_later(self.guard.limits.send_seconds, self._close_by)

    def _close_by(self, unsent_bytes: int = sys.maxsize) -> None:
        """Close, or wait on while the client takes some of what is left to send; `unsent_bytes` were left before.

        A closing transport waits for its buffer to empty, without end for a client that does not read.
        """
        left = self.transport.get_write_buffer_size()
        if left == 0:
            self.transport.close()
        elif left < unsent_bytes:
            self._closing = self.loop.call_later(self.guard.limits.send_seconds, self._close_by, left)
        else:
            self.transport.abort()

    def default_headers(self) -> bytes:
        """Uvicorn's default headers (`date`), rendered once for each time it renews them."""
        headers = self.server_state.default_headers
        if self._defaults[0] is not headers:
            self._defaults = (headers, b"".join([b"%b: %b\r\n" % header for header in headers]))
        return self._defaults[1]


def guarded_protocol(guard: Guard) -> type[GuardedProtocol]:
    """The protocol class to give to uvicorn as `http=`, where nothing is handled at the edge."""
    return type("GuardedProtocol", (GuardedProtocol,), {"guard": guard})


def _has_two_heads(data: bytes) -> bool:
    """Whether another head may follow what ends at the first blank line of `data`.

    A body of JSON seldom holds a carriage return, and looking for one byte is a tenth of looking for four.
    """
    end = data.find(_BLANK_LINE) + len(_BLANK_LINE)
    return end >= len(_BLANK_LINE) and data.find(b"\r", end) >= 0 and data.find(_BLANK_LINE, end) >= 0


def _headers_too_large(limits: HttpLimits) -> HeadersTooLarge:
    return HeadersTooLarge(
        f"The request head is larger than the {limits.header_bytes} bytes or {limits.header_fields} fields allowed."
    )


def _shown(raw: bytes) -> str:
    """Bytes of a client for a message to it: printable, not long."""
    return ascii(raw[:64].decode("latin-1"))
