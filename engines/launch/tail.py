"""A worker's output: cut into lines, the last ones kept in memory, all of it appended to a file of bounded size."""

from __future__ import annotations

import codecs
import re
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

KEPT_LINES = 50
LONGEST_LINE = 2000
"""Characters of a line that are kept; a longer line is cut and says so."""

_ENDS = re.compile(r"\r\n|\n|\r")  # a lone CR is a progress bar being redrawn: a line to us
_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


class LineSplitter:
    """Turns chunks of bytes, split anywhere, into lines without their ends."""

    def __init__(self) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._rest = ""

    def feed(self, chunk: bytes) -> Iterator[str]:
        """The lines that `chunk` completes. An empty chunk is the end of the output and completes the last one."""
        text = self._rest + self._decode(chunk, not chunk)
        if chunk and text.endswith("\r"):  # the LF of this CR may be in the next chunk
            *lines, self._rest = [*_ENDS.split(text[:-1])[:-1], _ENDS.split(text[:-1])[-1] + "\r"]
        else:
            *lines, self._rest = _ENDS.split(text)
        if not chunk or len(self._rest) > LONGEST_LINE:
            lines.append(self._rest)
            self._rest = ""
        return (_clean(line) for line in lines if line.strip())


def _clean(line: str) -> str:
    line = _COLOUR.sub("", line).rstrip()
    if len(line) <= LONGEST_LINE:
        return line
    return f"{line[:LONGEST_LINE]} … [{len(line) - LONGEST_LINE} more characters]"


class Tail:
    """The last `KEPT_LINES` lines, oldest first."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)

    def add(self, line: str) -> None:
        """Keep `line`, forget the oldest if there are too many."""
        self._lines.append(line)

    def lines(self) -> tuple[str, ...]:
        """What is kept."""
        return tuple(self._lines)


class LogFile:
    """Appends lines to `path`; at `limit_bytes` the file becomes `path.1`, replacing the one before.

    A full disk must not end the supervisor: the first failed write is told to `on_trouble`, and no more is written
    until the worker's next start opens the file anew. `close()` when the worker has ended.
    """

    def __init__(
        self, path: Path, *, on_trouble: Callable[[str], None], limit_bytes: int = 10 * 1024 * 1024
    ) -> None:
        self._path = path
        self._limit = limit_bytes
        self._on_trouble = on_trouble
        self._is_written = True
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._open()

    def add(self, line: str) -> None:
        """Append one line."""
        if not self._is_written:
            return
        data = line.encode("utf-8", "replace") + b"\n"
        try:
            if self._size + len(data) > self._limit:
                self._rotate()
            self._file.write(data)
        except OSError as error:
            self._is_written = False
            self._on_trouble(f"log file {self._path} is not written any more: {error}")
        self._size += len(data)

    def _rotate(self) -> None:
        self._file.close()
        self._path.replace(self._path.with_name(f"{self._path.name}.1"))
        self._open()

    def _open(self) -> None:
        self._file = self._path.open("ab", buffering=0)  # a buffer would fail again on close
        self._size = self._file.tell()

    def close(self) -> None:
        """Close the file. Closing twice does nothing."""
        self._file.close()
