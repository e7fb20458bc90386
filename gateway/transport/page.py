"""One small page of an engine, as a whole: for what is asked beside the calls."""

from __future__ import annotations

from collections.abc import Callable

from gateway.core.call import Operation, Permission
from gateway.fleet.endpoint import Endpoint
from gateway.transport.base import Loss, Sending, Transport

MAX_PAGE_BYTES = 2 * 1024 * 1024
_OK = 200


class Page:
    """Asks for pages over `transport`. `max_bytes` bounds each."""

    def __init__(self, transport: Transport, *, max_bytes: int = MAX_PAGE_BYTES) -> None:
        self._transport = transport
        self._max_bytes = max_bytes
        self._operations: dict[str, Operation] = {}

    def __call__(self, endpoint: Endpoint, path: str, done: Callable[[bytes | None], None]) -> Collected:
        """Ask for `path`; `done` is told its bytes, once, or `None` when there is no such page. Close it to give up."""
        operation = self._operations.get(path)
        if operation is None:
            operation = self._operations[path] = Operation("page", b"GET", path.encode(), Permission.OPEN)
        collected = Collected(done, self._max_bytes)
        collected.begin(self._transport.send(endpoint, operation, "page", b"", collected, fresh=False))
        return collected


class Collected:
    """The sink of one page."""

    def __init__(self, done: Callable[[bytes | None], None], max_bytes: int) -> None:
        self._done: Callable[[bytes | None], None] | None = done
        self._room = max_bytes
        self._parts: list[bytes] = []
        self._is_page = False
        self._sending: Sending | None = None

    def begin(self, sending: Sending) -> None:
        """What carries the request; it is over already when it failed at once."""
        if self._done is not None:
            self._sending = sending

    def close(self) -> None:
        """Give up: `done` is not told."""
        self._done = None
        self._drop()

    def upstream_head(self, status: int, content_type: bytes) -> None:  # noqa: ARG002 - the sink's shape
        """See `Sink`."""
        self._is_page = status == _OK

    def upstream_data(self, data: bytes, *, last: bool) -> None:
        """See `Sink`."""
        self._room -= len(data)
        self._parts.append(data)
        if last:
            self._sending = None
        if self._room < 0:
            self._drop()
            self._tell(None)
        elif last:
            self._tell(b"".join(self._parts) if self._is_page else None)

    def upstream_lost(self, loss: Loss) -> None:  # noqa: ARG002 - the sink's shape
        """See `Sink`."""
        self._sending = None
        self._tell(None)

    def _drop(self) -> None:
        sending, self._sending = self._sending, None
        self._parts = []
        if sending is not None:
            sending.close()

    def _tell(self, page: bytes | None) -> None:
        done, self._done = self._done, None
        if done is not None:
            done(page)
