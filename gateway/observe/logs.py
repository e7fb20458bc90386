"""Log lines: the standard library's loggers for what happens now and then, one prepared line for each call that ends.

An event's fields are its record's `extra`: `log.warning("upstream does not answer", extra={"upstream": id})`.

Lines are written by a thread of their own from a bounded buffer: a log pipe that nobody reads, or a full disk, costs
lines and is counted, and never holds up a request.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, MutableMapping
from datetime import UTC, datetime
from typing import Any, BinaryIO

import msgspec

LEVELS: Mapping[str, int] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
MAX_WAITING_LINES = 10_000
BATCH_SECONDS = 0.05
"""The writer gathers for so long: one write for many lines under load."""

OWN_LOGGERS = "gateway"
"""The loggers of this package: named by their module."""

_RECORD_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""What every record has; whatever else one has came as `extra`."""

_encode = msgspec.json.Encoder(enc_hook=str).encode

Fields = MutableMapping[str, Any]
Render = Callable[["Fields | CallLine"], bytes]


class LineWriter:
    """Writes lines to `stream` from a thread. `dropped` counts those that found the buffer full."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._lines: deque[bytes] = deque()
        self._has_lines = threading.Event()
        self._is_closing = False
        self.dropped = 0
        self._thread = threading.Thread(target=self._run, name="log writer", daemon=True)
        self._thread.start()

    def write(self, line: bytes) -> None:
        """Take one line, its newline included. Never blocks."""
        if len(self._lines) >= MAX_WAITING_LINES:
            self.dropped += 1
            return
        self._lines.append(line)
        if not self._has_lines.is_set():
            self._has_lines.set()

    def close(self, timeout: float = 2.0) -> None:
        """Write what waits, for at most `timeout` seconds."""
        self._is_closing = True
        self._has_lines.set()
        self._thread.join(timeout)

    def _run(self) -> None:
        while not self._is_closing:
            self._has_lines.wait()
            if not self._is_closing:
                time.sleep(BATCH_SECONDS)
            self._has_lines.clear()
            self._drain()
        self._drain()  # what came while the last batch was written

    def _drain(self) -> None:
        lines = self._lines
        batch = b"".join(lines.popleft() for _ in range(len(lines)))
        try:
            self._stream.write(batch)
            self._stream.flush()
        except (OSError, ValueError):  # the reader is gone, the disk is full, the stream was closed at exit
            self.dropped += batch.count(b"\n")


def as_json(fields: Fields | CallLine) -> bytes:
    """One JSON object and a newline."""
    return _encode(fields) + b"\n"


def as_text(fields: Fields | CallLine) -> bytes:
    """One line for people: time, level, event, then the rest as pairs. Control characters are escaped."""
    if isinstance(fields, CallLine):
        fields = msgspec.structs.asdict(fields)
    at, level, event = (str(fields.pop(key, "")) for key in ("timestamp", "level", "event"))
    pairs = "  ".join(f"{key}={_plain(value)}" for key, value in fields.items() if value is not None)
    return f"{at[11:23]} {level:<7} {_plain(event):<24} {pairs}".rstrip().encode() + b"\n"


def _plain(value: object) -> str:
    text = str(value)
    return text if text.isprintable() else text.encode("unicode_escape").decode()


def configure(writer: LineWriter, *, level: str, render: Render) -> None:
    """Send all log records to `writer`: our own from `level` on, those of libraries from warnings on."""
    threshold = LEVELS[level]
    root = logging.getLogger()
    root.handlers[:] = [_Handler(writer, render)]
    root.setLevel(max(threshold, logging.WARNING))
    logging.getLogger(OWN_LOGGERS).setLevel(threshold)


class CallLine(msgspec.Struct):
    """The fields of a call's line, in their order. Times in milliseconds. A struct: a dict of them costs twice as much."""

    timestamp: str
    level: str
    event: str
    request_id: str
    operation: str
    model: str | None
    outcome: str
    status: int
    code: str | None
    tenant: str | None
    key: str | None
    client: str | None
    stream: bool
    replica: str | None
    attempts: int
    queue_ms: float | None
    ttft_ms: float | None
    duration_ms: float | None
    prompt_tokens: int | None
    cached_tokens: int | None
    completion_tokens: int | None


class _Handler(logging.Handler):
    """A record as one line."""

    def __init__(self, writer: LineWriter, render: Render) -> None:
        super().__init__()
        self._writer = writer
        self._render = render
        self._traceback = logging.Formatter().formatException

    def emit(self, record: logging.LogRecord) -> None:
        fields: Fields = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            "logger": record.name,
        }
        fields.update((name, value) for name, value in vars(record).items() if name not in _RECORD_FIELDS)
        if record.exc_info:
            fields["exception"] = self._traceback(record.exc_info)
        self._writer.write(self._render(fields))


def choose_render(form: str, *, is_terminal: bool) -> Render:
    """The rendering for `logging.format`: `json`, `console` or `auto`."""
    if form == "auto":
        form = "console" if is_terminal else "json"
    return as_text if form == "console" else as_json


def standard_error() -> BinaryIO:
    """Where log lines go: data on standard output, talk on standard error."""
    return sys.stderr.buffer


def is_terminal() -> bool:
    """Whether a person is reading the log lines as they are written."""
    return sys.stderr.isatty()
