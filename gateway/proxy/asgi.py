"""The plain driver: inference requests as an ASGI application, for any server and for tests.

Slower than the edge by one task and one scope a request, the same in behaviour: one contract suite runs over both. It
also serves what the edge leaves to it, a pipelined request for one.

ASGI cannot close a connection without the form that says a stream is complete, except by the application failing: a
broken stream therefore ends with `BrokenStream`, which makes the server close the connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

from gateway.openai.operations import OPERATIONS
from gateway.proxy.client import Client, Headers, Part
from gateway.proxy.endings import exhausted
from gateway.proxy.proxy import too_large

if TYPE_CHECKING:
    from gateway.core.call import Operation
    from gateway.proxy.exchange import Exchange
    from gateway.proxy.proxy import Proxy

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

HIGH_WATER_BYTES = 64 * 1024
"""More than this waiting to be sent, and the engine is held back."""


class BrokenStream(Exception):
    """Ends a stream that failed after content was sent, so that the server closes the connection on it."""


class AsgiClient:
    """The Exchange's client over ASGI: pushes are queued, `run` sends them."""

    __slots__ = (
        "_chunks",
        "_end",
        "_headers",
        "_is_paused",
        "_proxy",
        "_status",
        "_waiting_bytes",
        "_wakeup",
        "abort",
        "address",
        "exchange",
    )

    def __init__(self, proxy: Proxy, address: str | None) -> None:
        self.exchange: Exchange
        self.address = address
        self.abort: Callable[[], object]
        """Ends `run`, which may be waiting for a client that does not read."""
        self._proxy = proxy
        self._chunks: list[bytes] = []
        self._waiting_bytes = 0
        self._is_paused = False
        self._status: int | None = None
        self._headers: Headers = ()
        self._end: Part | None = None
        self._wakeup = asyncio.Event()

    def unsent(self) -> int:
        """See `Client.unsent`. What the server below has taken counts as sent."""
        return self._waiting_bytes

    def answer(self, status: int, headers: Headers, body: bytes) -> None:
        """See `Client.answer`."""
        self.begin(status, (*headers, (b"content-length", b"%d" % len(body))))
        self.send(body, Part.LAST)

    def begin(self, status: int, headers: Headers) -> None:
        """See `Client.begin`."""
        if self._proxy.is_leaving:
            headers = (*headers, (b"connection", b"close"))
        self._status, self._headers = status, headers

    def send(self, data: bytes, part: Part) -> None:
        """See `Client.send`."""
        if part is Part.ABORT:
            self.abort()
            return
        if data:
            self._chunks.append(data)
            self._waiting_bytes += len(data)
        if part is not Part.MORE:
            self._end = part
        elif self._waiting_bytes > HIGH_WATER_BYTES and not self._is_paused:
            self._is_paused = True
            self.exchange.writable(False)
        self._wakeup.set()

    async def run(self, send: Send) -> None:
        """Send what comes until the answer is over. Raises `BrokenStream`."""
        started = False
        while True:
            await self._wakeup.wait()
            self._wakeup.clear()
            if not started:
                started = True
                await send(
                    {"type": "http.response.start", "status": self._status, "headers": list(self._headers)}
                )
            body, self._chunks = b"".join(self._chunks), []
            end = self._end
            if end is Part.LAST:
                await self._last(send, body)
                return
            if body:
                await send({"type": "http.response.body", "body": body, "more_body": True})
            if end is not None:
                raise BrokenStream
            self._waiting_bytes -= len(body)
            if self._is_paused and self._waiting_bytes <= HIGH_WATER_BYTES:
                self._is_paused = False
                self.exchange.writable(True)

    async def _last(self, send: Send, body: bytes) -> None:
        """End the answer in good form. The call is over: from here on nobody else minds a client that does not read."""
        try:
            async with asyncio.timeout(self._proxy.timeouts.stall):
                await send({"type": "http.response.body", "body": body, "more_body": False})
        except TimeoutError:
            raise BrokenStream from None


class AsgiDriver:
    """Serves the inference operations, hands everything else to `app`."""

    def __init__(self, proxy: Proxy, app: App) -> None:
        self._proxy = proxy
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One ASGI call."""
        operation = _operation(scope)
        if operation is None:
            await self._app(scope, receive, send)
            return
        peer = scope.get("client")
        client = AsgiClient(self._proxy, peer[0] if peer else None)
        exchange = client.exchange = self._proxy.open(operation, scope["headers"], client)
        answering = asyncio.ensure_future(client.run(send))
        client.abort = answering.cancel
        listening = asyncio.ensure_future(self._listen(exchange, receive))
        try:
            await asyncio.wait((answering, listening), return_when=asyncio.FIRST_COMPLETED)
            if not answering.done() and listening.result():
                await asyncio.wait((answering,))
            if answering.cancelled():
                raise BrokenStream
            if answering.done():
                answering.result()
        finally:
            exchange.client_gone()
            for task in (answering, listening):
                task.cancel()
            await asyncio.gather(answering, listening, return_exceptions=True)

    async def _listen(self, exchange: Exchange, receive: Receive) -> bool:
        """Read the request, then watch for the client to leave. Whether the answer should still be waited for."""
        body = await self._read(exchange, receive)
        if body is None:
            exchange.client_gone()
            return False
        if exchange.refusal is not None:
            exchange.refuse(exchange.refusal)
            return True
        exchange.request(body)
        while (await receive())["type"] != "http.disconnect":
            pass
        exchange.client_gone()
        return False

    async def _read(self, exchange: Exchange, receive: Receive) -> bytes | None:
        """The body, empty when it will not be looked at; `None` when the client left in the middle."""
        parts: list[bytes] = []
        size = 0
        while exchange.refusal is None:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            part = message.get("body", b"")
            size += len(part)
            if size > self._proxy.max_body_bytes:
                exchange.refuse(too_large(self._proxy.max_body_bytes))
                break
            if not exchange.hold(len(part)):
                exchange.refuse(exhausted())
                break
            parts.append(part)
            if not message.get("more_body", False):
                return b"".join(parts)
        return b""


def _operation(scope: Scope) -> Operation | None:
    if scope["type"] != "http":
        return None
    return OPERATIONS.get((scope["method"].encode(), scope.get("raw_path") or scope["path"].encode()))


_: type[Client] = AsgiClient
