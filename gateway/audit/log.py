"""The file of the audit log: entries are appended, each on the disk before its deed is answered, and never changed.

Beside it a small file holds the number and hash of the last entry, so that the end cannot be cut off unseen. Both can be
replaced by who owns the data folder: the anchors in the log stream, kept elsewhere, are the witness against that.
Any process may append; they take turns by a lock file.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import msgspec
from filelock import FileLock, Timeout

from gateway.audit.entry import FIRST, Deed, Entry, entry_of, line_of

_LOCK_SECONDS = 5.0
_LONGEST_LINE = 16 * 1024


class AuditError(Exception):
    """The audit log cannot be written or read; the text says why."""


class Head(NamedTuple):
    """The last entry: its number, 0 when there is none, and its hash."""

    seq: int
    hash: str


class AuditLog:
    """The log at `path`. `clock` gives Unix seconds. Everything here does I/O: beside the event loop, please."""

    def __init__(self, path: Path, clock: Callable[[], float]) -> None:
        self.path = path
        self.head_path = path.with_name(path.name + ".head")
        self._clock = clock

    def append(self, deed: Deed) -> Entry:
        """Write down `deed`; it is on the disk when this returns. Raises `AuditError`, and then the log is as it was.

        What a crash left of an entry, which nobody was answered, is cut off, and an entry of its own says so.
        """
        with self._turn():
            last = self._last()
            at = datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="milliseconds")
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                size, torn = torn_end(descriptor)
                lines = b""
                if len(torn) > _LONGEST_LINE:
                    # No entry begins like this: it stays to be seen, on a line of its own.
                    size, torn, lines = size + len(torn), b"", b"\n"
                for each in (_cut_off(torn), deed) if torn else (deed,):
                    entry = entry_of(each, seq=last.seq + 1, at=at, prev=last.hash)
                    last = Head(entry.seq, entry.hash)
                    lines += line_of(entry)
                try:
                    os.ftruncate(descriptor, size)
                    _write(descriptor, lines)
                    os.fsync(descriptor)
                    self._write_head(last)
                except OSError:
                    os.ftruncate(descriptor, size)
                    # There was room for it before, and the entry that tells of it is not there.
                    _write(descriptor, torn)
                    raise
            finally:
                os.close(descriptor)
            return entry

    def head(self) -> Head:
        """The last entry. Raises `AuditError`."""
        with self._turn():
            return self._last()

    def kept_head(self) -> Head | None:
        """What the small file says of the last entry. Raises `AuditError` when it says nothing that makes sense."""
        try:
            number, hash_ = self.head_path.read_text("ascii").split()
            return Head(int(number), hash_)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise AuditError(f"{self.head_path} cannot be read") from error

    def lines(self) -> Iterator[bytes]:
        """The lines as they are, oldest first, each with its line end if it has one. Raises `AuditError`."""
        try:
            with self.path.open("rb") as file:
                yield from file
        except FileNotFoundError:
            return
        except OSError as error:
            raise AuditError(f"cannot read {self.path}: {error.strerror}") from error

    def _last(self) -> Head:
        """The last whole entry of the file; that of the small file where that one is no earlier.

        When the end was cut off, what is appended then follows what is missing, and so shows that it is.
        """
        try:
            with self.path.open("rb") as file:
                size, _ = torn_end(file.fileno())
                file.seek(max(0, size - _LONGEST_LINE))
                tail = file.read(min(size, _LONGEST_LINE)).rstrip(b"\n").rpartition(b"\n")[2]
        except FileNotFoundError:
            tail = b""
        try:
            entry = msgspec.json.decode(tail, type=Entry)
            last = Head(entry.seq, entry.hash)
        except msgspec.DecodeError:
            last = Head(0, FIRST)
        kept = self.kept_head()
        return last if kept is None or kept.seq < last.seq else kept

    def _write_head(self, head: Head) -> None:
        """Not synchronised: it may lag behind the log after a power cut, and never be ahead of it."""
        temporary = self.head_path.with_name(f".{self.head_path.name}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            _write(descriptor, f"{head.seq} {head.hash}\n".encode())
        finally:
            os.close(descriptor)
        temporary.replace(self.head_path)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with FileLock(f"{self.path}.lock", timeout=_LOCK_SECONDS, mode=0o600, thread_local=False):
                yield
        except Timeout as error:
            raise AuditError(f"{self.path}.lock is held by another process") from error
        except OSError as error:
            raise AuditError(f"cannot write {self.path}: {error.strerror}") from error


def torn_end(descriptor: int) -> tuple[int, bytes]:
    """The bytes up to the end of the last whole line, and what is behind it: `b""` but after a crash.

    Raises `OSError`.
    """
    size = end = os.fstat(descriptor).st_size
    torn = b""
    while end:
        start = max(0, end - _LONGEST_LINE)
        _, line_end, rest = os.pread(descriptor, end - start, start).rpartition(b"\n")
        torn = rest + torn
        if line_end:
            break
        end = start
    return size - len(torn), torn


def _cut_off(torn: bytes) -> Deed:
    return Deed(
        actor="audit",
        role=None,
        action="audit.cut",
        object=f"{len(torn)} bytes of an entry that was not written to its end",
        before=hashlib.sha256(torn).hexdigest(),
    )


def _write(descriptor: int, content: bytes) -> None:
    """Write all of it. Raises `OSError`, and may then have written a part."""
    left = memoryview(content)
    while left:
        left = left[os.write(descriptor, left) :]
