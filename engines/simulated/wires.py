"""Where the bytes of one response go. `Wire` sends them as they are; the faulty ones are in `faults`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from engines.simulated.frames import DONE
from engines.simulated.heads import JSON, Heads
from engines.simulated.journal import Record

LAST_CHUNK = b"0\r\n\r\n"


class Line(Protocol):
    """The connection as a response sees it."""

    heads: Heads
    keep_alive: bool

    def write(self, data: bytes) -> None:
        """Send bytes."""

    def response_over(self) -> None:
        """Say that the response is complete."""

    def cut(self, *, reset: bool) -> None:
        """Drop the connection now."""

    def after_flush(self, act: Callable[[], None]) -> None:
        """Do something once everything written is with the kernel."""

    def later(self, seconds: float, act: Callable[[], None]) -> None:
        """Do something later, unless the connection is lost before."""

    def die(self, code: int) -> None:
        """End the whole engine."""

    def stall(self) -> None:
        """Leave the request where it is until the client goes."""

    def abandon(self) -> None:
        """End the generation behind this response: a fault took its place."""


class Wire:
    """Sends a response as it is."""

    def __init__(self, line: Line, record: Record) -> None:
        self.line = line
        self.record = record

    def open(self, extra: bytes = b"") -> None:
        """Send the head of a stream."""
        self.record.status = 200
        self._put(self.line.heads.stream(extra=extra, keep_alive=self.line.keep_alive))

    def event(self, data: bytes) -> None:
        """Send one event of a stream."""
        self.record.events_sent += 1
        self._put(b"%x\r\n%s\r\n" % (len(data), data))

    def close(self) -> None:
        """End a stream well."""
        self.event(DONE)
        self._put(LAST_CHUNK)
        self.line.response_over()

    def reply(
        self,
        status: int,
        body: bytes,
        *,
        content_type: bytes | None = JSON,
        extra: bytes = b"",
        vary: bool = True,
        has_body: bool = True,
    ) -> None:
        """Send a whole reply; `has_body` is false for HEAD."""
        self.record.status = status
        head = self.line.heads.reply(
            status,
            len(body),
            content_type=content_type,
            extra=extra,
            vary=vary,
            keep_alive=self.line.keep_alive,
        )
        self._put(head + body if has_body else head)
        self.line.response_over()

    def _put(self, data: bytes) -> None:
        self.line.write(data)
