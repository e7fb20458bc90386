"""Response heads: uvicorn's lines in uvicorn's order, the date formatted once a second."""

from __future__ import annotations

import time
from collections.abc import Callable
from http import HTTPStatus

SSE = b"text/event-stream; charset=utf-8"
JSON = b"application/json"
_START = {s.value: b"HTTP/1.1 %d %s\r\n" % (s.value, s.phrase.encode()) for s in HTTPStatus}


class Heads:
    """Writes response heads."""

    def __init__(self, wall_clock: Callable[[], float]) -> None:
        self._wall_clock = wall_clock
        self._second = -1
        self._common = b""

    def _first_lines(self, status: int) -> bytes:
        second = int(self._wall_clock())
        if second != self._second:
            self._second = second
            self._common = b"date: %s\r\nserver: uvicorn\r\n" % _http_date(second)
        return _START.get(status, b"HTTP/1.1 %d \r\n" % status) + self._common

    def reply(
        self,
        status: int,
        length: int,
        *,
        content_type: bytes | None = JSON,
        extra: bytes = b"",
        vary: bool = True,
        keep_alive: bool,
    ) -> bytes:
        """Give the head of a reply of known length. `extra` are whole lines."""
        kind = b"" if content_type is None else b"content-type: %s\r\n" % content_type
        return b"%s%scontent-length: %d\r\n%s%s%s\r\n" % (
            self._first_lines(status),
            extra,
            length,
            kind,
            b"vary: Origin\r\n" if vary else b"",
            b"" if keep_alive else b"connection: close\r\n",
        )

    def stream(self, *, content_type: bytes = SSE, extra: bytes = b"", keep_alive: bool) -> bytes:
        """Give the head of a chunked stream."""
        return b"%scontent-type: %s\r\n%svary: Origin\r\n%stransfer-encoding: chunked\r\n\r\n" % (
            self._first_lines(200),
            content_type,
            extra,
            b"" if keep_alive else b"connection: close\r\n",
        )


def _http_date(second: int) -> bytes:
    return time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(second)).encode()
