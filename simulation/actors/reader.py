"""Reading answers from the wire, strictly, and knowing nothing of the code that wrote them."""

from __future__ import annotations

import re
from collections.abc import Callable

from simulation.actors.history import Seen

_SIZE = re.compile(rb"[0-9a-f]{1,8}")


class Malformed(Exception):
    """Not HTTP, or more than was asked for."""


class AnswerReader:
    """Reads one answer after another; `on_answer` gets each complete one, `current` is the one that is being read."""

    def __init__(self, on_answer: Callable[[Seen], None]) -> None:
        self._on_answer = on_answer
        self._buffer = bytearray()
        self._left = 0
        """Bytes of the body, or of a chunk and its line end, that are still to come."""
        self._is_chunked = False
        self._ends_with_connection = False
        self._offset = 0
        self.current: Seen | None = None
        self.begin_offset = 0
        """Where in the stream of bytes the current answer began."""

    def feed(self, data: bytes) -> None:
        """Take the next bytes. Raises `Malformed`."""
        self._buffer += data
        while self._step():
            pass

    def end(self) -> None:
        """Nothing more comes. What ends with its connection is complete if it says so itself."""
        seen = self.current
        if seen is not None and self._ends_with_connection and seen.body.endswith(b"data: [DONE]\n\n"):
            self._complete(seen)

    def _step(self) -> bool:
        """Read the next element, if it is there."""
        if not self._buffer:
            return False
        if self.current is None:
            return self._head()
        if self._ends_with_connection:
            self.current.body += self._take(len(self._buffer))
            return False
        if not self._is_chunked:
            return self._plain(self.current)
        if self._left:
            return self._in_chunk(self.current)
        return self._chunk_head(self.current)

    def _take(self, size: int) -> bytes:
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        self._offset += len(taken)
        return taken

    def _head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        self.begin_offset = self._offset
        lines = self._take(end + 4)[:-4].split(b"\r\n")
        version, _, rest = lines[0].partition(b" ")
        if version != b"HTTP/1.1" or not rest[:3].isdigit():
            raise Malformed(f"not a status line: {lines[0]!r}")
        if rest.startswith(b"1"):  # interim
            return True
        headers: dict[bytes, bytes] = {}
        for line in lines[1:]:
            name, colon, value = line.partition(b": ")
            if not colon or name in headers:
                raise Malformed(f"not a header, or twice: {line!r}")
            headers[name] = value
        self._is_chunked = headers.get(b"transfer-encoding") == b"chunked"
        is_measured = b"content-length" in headers
        self._ends_with_connection = not self._is_chunked and not is_measured
        if self._is_chunked and is_measured:
            raise Malformed(f"two framings: {headers!r}")
        if self._ends_with_connection and headers.get(b"connection") != b"close":
            raise Malformed(f"no framing: {headers!r}")
        seen = self.current = Seen(status=int(rest[:3]), headers=headers)
        self._left = int(headers[b"content-length"]) if is_measured else 0
        if is_measured and not self._left:
            self._complete(seen)
        return True

    def _plain(self, seen: Seen) -> bool:
        part = self._take(self._left)
        seen.body += part
        self._left -= len(part)
        if not self._left:
            self._complete(seen)
        return True

    def _in_chunk(self, seen: Seen) -> bool:
        """Two of the bytes left are the line end."""
        if self._left > 2:  # noqa: PLR2004 - len(b"\r\n")
            part = self._take(self._left - 2)
            seen.body += part
            self._left -= len(part)
            return True
        if len(self._buffer) < 2:  # noqa: PLR2004 - as above
            return False
        if self._take(2) != b"\r\n":
            raise Malformed("no line end after a chunk")
        self._left = 0
        return True

    def _chunk_head(self, seen: Seen) -> bool:
        end = self._buffer.find(b"\r\n")
        if end < 0:
            return False
        if not _SIZE.fullmatch(self._buffer, 0, end):
            raise Malformed(f"not the size of a chunk: {bytes(self._buffer[:end])!r}")
        size = int(self._buffer[:end], 16)
        if size:
            self._take(end + 2)
            self._left = size + 2
            return True
        if len(self._buffer) < end + 4:
            return False
        if not self._take(end + 4).endswith(b"\r\n\r\n"):
            raise Malformed("something after the last chunk")
        self._complete(seen)
        return True

    def _complete(self, seen: Seen) -> None:
        seen.is_complete = True
        self.current = None
        self._on_answer(seen)
