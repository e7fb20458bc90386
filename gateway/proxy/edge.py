"""The fast driver: inference requests handled inside uvicorn's protocol, without an ASGI cycle or a task.

A subclass of uvicorn's `HttpToolsProtocol`, within the bounds of `guard`, given to the server as `http=`. A request
whose method and raw path are in `OPERATIONS` becomes an `EdgeCall`, which takes the place of uvicorn's own cycle object:
uvicorn then queues what is pipelined behind it, tells it of a disconnect and waits for it on shutdown, as for any other
request. Everything else, and what is pipelined, goes the ordinary way to the ASGI application, in order.

Bound to one minor version of uvicorn (`pyproject.toml`); the parts relied on, here and in `guard`, are `cycle`,
`pipeline`, `flow`, `on_response_complete`, `connection_lost` and the parser callbacks, and `tests/contract/proxy` fails
when they change.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gateway.core.call import Operation
from gateway.core.errors import GatewayError
from gateway.openai.operations import OPERATIONS
from gateway.proxy.client import ABORT, BROKEN, LAST, MORE, Client, Headers, Part
from gateway.proxy.endings import exhausted
from gateway.proxy.guard import Guard
from gateway.proxy.guarded import STATUS_LINES, GuardedProtocol
from gateway.proxy.proxy import too_large

if TYPE_CHECKING:
    from uvicorn.config import Config
    from uvicorn.server import ServerState

    from gateway.proxy.exchange import Exchange
    from gateway.proxy.proxy import Proxy

PATIENT_BYTES = 64 * 1024
"""A refused request's body is read and dropped up to this size, so that the connection can be kept."""

log = logging.getLogger(__name__)


class EdgeCall:
    """One inference request on one connection: uvicorn's cycle on one side, the Exchange's client on the other."""

    __slots__ = (
        "_chunked",
        "_head",
        "_message_event",
        "_protocol",
        "address",
        "body",
        "exchange",
        "keep_alive",
        "response_complete",
    )

    def __init__(self, protocol: EdgeProtocol, *, keep_alive: bool, chunked: bool) -> None:
        self._protocol = protocol
        self.address = protocol.origin()
        self.keep_alive = keep_alive
        self._chunked = chunked  # HTTP/1.0 has no chunked encoding: its streams end with the connection
        self._head = b""
        self.body: list[bytes] = []
        self.response_complete = False
        self.exchange: Exchange
        self._message_event = _NO_EVENT

    # --- what uvicorn does to its cycle

    @property
    def message_event(self) -> _NoEvent:
        """Uvicorn wakes its cycle's reader through this; there is none here."""
        return self._message_event

    @property
    def disconnected(self) -> bool:
        """Uvicorn sets this when the connection is lost before the answer is complete."""
        return self.response_complete

    @disconnected.setter
    def disconnected(self, _: bool) -> None:
        client_gone = self.exchange.client_gone
        self._over()
        self._protocol.guarded(client_gone)

    # --- what the Exchange does to its client

    def unsent(self) -> int:
        """See `Client.unsent`."""
        return self._protocol.transport.get_write_buffer_size()

    def answer(self, status: int, headers: Headers, body: bytes) -> None:
        """See `Client.answer`."""
        head = self._render(status, headers)
        self._protocol.transport.write(b"%bcontent-length: %d\r\n\r\n%b" % (head, len(body), body))
        self._complete()

    def begin(self, status: int, headers: Headers) -> None:
        """See `Client.begin`. The head goes out with the first events, in one write."""
        if not self._chunked:
            self.keep_alive = False
        self._head = self._render(status, headers) + (
            b"transfer-encoding: chunked\r\n\r\n" if self._chunked else b"\r\n"
        )

    def send(self, data: bytes, part: Part) -> None:
        """See `Client.send`."""
        transport = self._protocol.transport
        if part is MORE and data and self._chunked and not self._head:  # all of a stream but its ends
            transport.write(b"%x\r\n%b\r\n" % (len(data), data))
            return
        if part is ABORT:
            self._over()
            transport.abort()
            return
        out = b"%x\r\n%b\r\n" % (len(data), data) if data and self._chunked else data
        if part is LAST and self._chunked:
            out += b"0\r\n\r\n"
        if self._head:
            out, self._head = self._head + out, b""
        if out:
            transport.write(out)
        if part is LAST:
            self._complete()
        elif part is BROKEN:
            self._over()
            self._protocol.linger()

    def _render(self, status: int, headers: Headers) -> bytes:
        if not self.keep_alive or self._protocol.reads(self) or self._protocol.proxy.is_leaving:
            self.keep_alive = False
            headers = (*headers, (b"connection", b"close"))
        lines = b"".join([b"%b: %b\r\n" % header for header in headers])
        return STATUS_LINES[status] + self._protocol.default_headers() + lines

    def _over(self) -> None:
        """Nothing more goes to the client. The Exchange is let go: a cycle of the two would be the collector's work."""
        self.response_complete = True
        self.body.clear()
        self.exchange = None  # type: ignore[assignment]  # whoever asks now has not looked at `response_complete`

    def _complete(self) -> None:
        self._over()
        protocol = self._protocol
        if not self.keep_alive:
            if protocol.is_unread():
                protocol.linger()
            else:
                protocol.close_when_sent()
        protocol.on_response_complete()


class _NoEvent:
    """Stands for the event that uvicorn sets to wake a cycle."""

    def set(self) -> None:
        """Nobody waits."""


_NO_EVENT = _NoEvent()


class EdgeProtocol(GuardedProtocol):
    """The guarded protocol with the inference operations handled in place. Made by `edge_protocol`."""

    proxy: Proxy

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._call: EdgeCall | None = None

    # --- parser callbacks

    def take_request(self) -> None:
        """Take an inference request that nothing is queued in front of; leave the rest to uvicorn."""
        operation = OPERATIONS.get((self.parser.get_method(), self.url))
        if operation is None or not self._is_free():
            self._call = None
            super().take_request()
        else:
            self._begin(operation)

    def _begin(self, operation: Operation) -> None:
        is_1_1 = self.parser.get_http_version() == "1.1"
        call = EdgeCall(self, keep_alive=is_1_1 and self.parser.should_keep_alive(), chunked=is_1_1)
        self._call = self.cycle = call  # type: ignore[assignment]  # stands in for uvicorn's cycle
        self._running = call
        call.exchange = self.proxy.open(operation, self.headers, call)
        refusal = call.exchange.refusal
        if refusal is not None and (self.expect_100_continue or self._announced_bytes() > PATIENT_BYTES):
            self.guarded(call.exchange.refuse, refusal)
            return
        if self.expect_100_continue and is_1_1:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if self.flow.write_paused:
            self._tell_writable(False)

    def on_body(self, body: bytes) -> None:
        """Collect a body up to its cap."""
        call = self._call
        if call is None:
            super().on_body(body)
            return
        if call.response_complete:
            return
        self._body_bytes += len(body)
        if call.exchange.refusal is not None:
            if self._body_bytes > PATIENT_BYTES:
                self.guarded(call.exchange.refuse, call.exchange.refusal)
        elif self._body_bytes > self.proxy.max_body_bytes:
            self.guarded(call.exchange.refuse, too_large(self.proxy.max_body_bytes))
        elif call.exchange.hold(len(body)):
            call.body.append(body)
        else:
            self.guarded(call.exchange.refuse, exhausted())

    def on_message_complete(self) -> None:
        """The request is whole: hand it over."""
        call = self._call
        if call is None:
            super().on_message_complete()
            return
        self.message_read()
        self._call = None
        if not call.response_complete:
            body, call.body = call.body, []
            self.guarded(call.exchange.request, body[0] if len(body) == 1 else b"".join(body))

    # --- transport callbacks

    def pause_writing(self) -> None:
        """The client reads slower than the engine writes."""
        super().pause_writing()
        self._tell_writable(False)

    def resume_writing(self) -> None:
        """The client has caught up."""
        super().resume_writing()
        self._tell_writable(True)

    # --- for EdgeCall

    def guarded(self, event: Callable[..., None], *arguments: object) -> None:
        """Call an Exchange from this outermost edge: a bug in it ends its own connection and nothing else."""
        try:
            event(*arguments)
        except Exception:
            log.exception("inference request failed")
            self.transport.abort()

    def refuse(self, error: GatewayError) -> None:
        """Answer `error`; as the end of the call whose body is being read, if there is one."""
        call = self._call
        if call is None or call.response_complete:
            super().refuse(error)
            return
        self._is_deaf = True
        self.guarded(call.exchange.refuse, error)

    def reads(self, call: EdgeCall) -> bool:
        """Whether the body of `call` is still arriving, not that of a request behind it."""
        return call is self._call

    def _is_free(self) -> bool:
        cycle: object | None = self.cycle
        return cycle is None or self.cycle.response_complete

    def _announced_bytes(self) -> int:
        """The body's length as announced; more than any cap when it is not."""
        for name, value in self.headers:
            if name == b"content-length":
                return int(value)
            if name == b"transfer-encoding":
                return PATIENT_BYTES + 1
        return 0

    def _tell_writable(self, is_writable: bool) -> None:
        running = self._running
        if isinstance(running, EdgeCall) and not running.response_complete:
            self.guarded(running.exchange.writable, is_writable)


def edge_protocol(proxy: Proxy, guard: Guard) -> type[EdgeProtocol]:
    """The protocol class to give to uvicorn as `http=`."""
    return type("EdgeProtocol", (EdgeProtocol,), {"proxy": proxy, "guard": guard})


_: type[Client] = EdgeCall
