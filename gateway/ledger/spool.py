"""Where records go first: files that only grow, written by a thread of their own.

`append` is for the event loop and waits for nothing. The thread writes and syncs what has come together, at once when it
has been idle and then every 20 ms: one sync for many records (group commit). A process that is killed loses nothing, see
`slate`; a machine that loses its power loses the last group.

A file on which a write or a sync failed is never used again: what was not certainly on disk is written to a new one. So a
record may be there twice, and never not at all; readers go by its id.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import threading
import time
from collections import deque
from contextlib import suppress
from pathlib import Path

from gateway.ledger import segments
from gateway.ledger.disk import Disk, File
from gateway.ledger.frames import MOST_BYTES, frame
from gateway.ledger.slate import SHARED_MEMORY, Slate

log = logging.getLogger(__name__)

COMMIT_EVERY = 0.02
"""Seconds between two group commits."""
LOOK_EVERY = 1.0
"""Seconds between two looks at the disk while nothing is appended."""
RETRY_AFTER = 0.25
"""Seconds after a failed write."""
CLOSE_SECONDS = 10.0
SEGMENT_BYTES = 4 * 1024 * 1024
MOST_PENDING = 100_000
"""Records that wait for a disk which takes none; more are dropped, and counted."""
_RESERVE = "reserve"
_LOCK = "lock"


class SpoolError(Exception):
    """The spool cannot be opened. The text says which and why."""


class SpoolTaken(SpoolError):
    """Another process has it."""


class Spool:
    """The spool in `folder`, of this process alone. Whoever opens it closes it, then releases it."""

    def __init__(
        self,
        folder: Path,
        *,
        reserve_bytes: int,
        most_bytes: int,
        segment_bytes: int = SEGMENT_BYTES,
        disk: Disk | None = None,
        memory: Path = SHARED_MEMORY,
    ) -> None:
        self.folder = folder
        self.previous: dict[int, int] = {}
        """Segments that earlier processes left, oldest first, and their sizes."""
        self.sizes: dict[int, int] = {}
        """Segment of this process → bytes of it that are on disk. Written by the thread alone."""
        self.current = 0
        """The segment that is written: those before it do not change any more."""
        self.number = 0
        """Of the record appended last."""
        self.committed = 0
        """Of the last record that is on disk."""
        self.dropped = 0
        self.trouble: str | None = None
        """Why the disk takes nothing; `None` while it does."""
        self._reserve_bytes = reserve_bytes
        self._most_bytes = most_bytes
        self._segment_bytes = segment_bytes
        self._disk = disk or Disk()
        self._memory = memory
        self._slate: Slate | None = None
        self._room = 0
        self._put_bytes = 0
        self._done_bytes = 0
        self._pending: deque[bytes] = deque()
        self._unwritten: list[bytes] = []
        self._file: File | None = None
        self._lock: int | None = None
        self._is_short = False
        self._is_over = False
        self._is_idle = False
        self._is_closing = False
        self._looked_at = 0.0
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)

    def __repr__(self) -> str:
        waiting = self.number - self.committed
        return f"<Spool {self.folder}: {self.size} bytes, {waiting} records on their way>"

    # --- on the event loop

    @property
    def is_full(self) -> bool:
        """Whether no new work should be begun: the disk takes nothing, is too slow, or holds as much as it may."""
        return self.trouble is not None or self._put_bytes - self._done_bytes >= self._room or self._is_over

    @property
    def size(self) -> int:
        """Size of all segments."""
        return sum(self.previous.values()) + sum(tuple(self.sizes.values()))

    def open(self) -> None:
        """Take the folder, save what a killed process left in memory, start the thread. Raises `SpoolError`."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._take_lock()
            self._slate = Slate(self.folder, memory=self._memory)
            self._room = self._slate.room - MOST_BYTES
            found = segments.numbers(self.folder)
            self.current = found[-1] if found else 0
            if self._save(self._slate.left()):
                found.append(self.current)
            self._slate.clear()
            self.previous = {each: segments.path_of(self.folder, each).stat().st_size for each in found}
        except OSError as error:
            raise SpoolError(f"{self.folder}: {error.strerror or error}") from error
        with suppress(OSError):  # now, while there are descriptors; else the first write tells
            self._file = self._next()
        self._thread.start()

    def append(self, payload: bytes) -> None:
        """Take a record. It is in the slate when this returns, on disk soon after."""
        if len(self._pending) >= MOST_PENDING:
            self.dropped += 1
            return
        self.number = number = self.number + 1
        made = frame(number, payload)
        waiting = self._put_bytes - self._done_bytes
        if self._slate is not None and waiting < self._room:
            if not waiting:
                self._slate.rewind()
            self._slate.put(made)
        self._put_bytes += len(made)
        self._pending.append(made)
        if self._is_idle:
            self._wake.set()

    def forget(self, number: int) -> None:
        """Remove a segment whose records are in the database."""
        with suppress(OSError):
            self._disk.remove(segments.path_of(self.folder, number))
        self.previous.pop(number, None)
        self.sizes.pop(number, None)
        self._is_over = self.size >= self._most_bytes

    def close(self) -> None:
        """Write what is left and end the thread; waits for it, so not for the event loop while calls run."""
        self._is_closing = True
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join(CLOSE_SECONDS)
        if self._slate is not None and not self._thread.is_alive():
            self._slate.close(forget=self.committed == self.number)
            self._slate = None

    def release(self) -> None:
        """Let another process have the folder."""
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)

    def _take_lock(self) -> None:
        self._lock = os.open(self.folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.release()
            raise SpoolTaken(f"{self.folder} belongs to another process that runs") from error

    def _save(self, left: list[bytes]) -> bool:
        """Give what was only in the slate a segment of its own. Whether there was any."""
        if not left:
            return False
        self._give_reserve_back()
        self.current += 1
        file = self._disk.create(segments.path_of(self.folder, self.current))
        try:
            file.write(b"".join(frame(number, payload) for number, payload in enumerate(left)))
            file.sync()
        finally:
            file.close()
        log.warning("the last process was killed: records saved", extra={"records": len(left)})
        return True

    # --- on the thread

    def _run(self) -> None:
        while True:
            if not self._pending and not self._unwritten:
                if self._is_closing:
                    break
                self._is_idle = True
                if not self._pending and not self._is_closing:  # else nobody would wake us for it
                    self._wake.wait(LOOK_EVERY)
                self._is_idle = False
                self._wake.clear()
            is_written = self._write()
            self._look()
            if self._is_closing and not is_written:
                break
            time.sleep(COMMIT_EVERY if is_written else RETRY_AFTER)
        if self._file is not None:
            self._file.close()

    def _write(self) -> bool:
        """Write and sync all that has come. Whether it is on disk."""
        frames = self._unwritten
        while self._pending:
            frames.append(self._pending.popleft())
        if not frames:
            return True
        data = b"".join(frames)
        if not self._commit(data) and not (self._give_reserve_back() and self._commit(data)):
            return False
        self._unwritten = []
        if self._slate is not None:
            self._slate.commit(self.committed + len(frames))
        self._done_bytes += len(data)  # not before: the loop then writes over what was waiting
        self.committed += len(frames)
        if self.trouble is not None and not (self._is_short and self._reserve_bytes):
            log.info("the ledger's disk takes records again", extra={"folder": str(self.folder)})
            self.trouble = None
        return True

    def _commit(self, data: bytes) -> bool:
        try:
            file = self._file or self._next()
            file.write(data)
            file.sync()
        except OSError as error:
            self._abandon(error)
            return False
        self.sizes[self.current] = size = self.sizes[self.current] + len(data)
        self._is_over = self.size >= self._most_bytes
        if size >= self._segment_bytes:
            file.close()
            self._file = None
        return True

    def _next(self) -> File:
        self.current += 1  # first: a file whose making failed half-way keeps its name
        self._file = self._disk.create(segments.path_of(self.folder, self.current))
        self.sizes[self.current] = 0
        return self._file

    def _abandon(self, error: OSError) -> None:
        """Leave a file on which something failed as it was when it last was good."""
        if self.trouble is None:
            log.error(
                "the ledger's disk takes no records",
                extra={"folder": str(self.folder), "error": error.strerror or str(error)},
            )
        self.trouble = error.strerror or str(error)
        self._is_short = self._is_short or error.errno in {errno.ENOSPC, errno.EDQUOT}
        file, self._file = self._file, None
        if file is None:
            return
        size = self.sizes[self.current]
        with suppress(OSError):
            file.cut(size)
        file.close()
        if not size:
            with suppress(OSError):
                self._disk.remove(segments.path_of(self.folder, self.current))
                del self.sizes[self.current]

    def _give_reserve_back(self) -> bool:
        """Free the place that was kept for the records of calls that run already. Whether there was some."""
        path = self.folder / _RESERVE
        with suppress(OSError):
            if path.exists():
                self._disk.remove(path)
                return True
        return False

    def _look(self) -> None:
        """Keep the reserve, or get it back once there is twice its place: not to go to and fro at the edge."""
        now = time.monotonic()
        if now - self._looked_at < LOOK_EVERY or not self._reserve_bytes:
            return
        self._looked_at = now
        path = self.folder / _RESERVE
        if path.exists() or self._unwritten:
            return
        try:
            if self._disk.free(self.folder) < 2 * self._reserve_bytes:
                raise OSError(errno.ENOSPC, f"less than {2 * self._reserve_bytes} bytes are left")
            self._disk.reserve(path, self._reserve_bytes)
        except OSError as error:
            if self.trouble is None:
                log.warning("the ledger's disk is full", extra={"folder": str(self.folder)})
            self._is_short = True
            self.trouble = error.strerror or str(error)
            return
        if self._is_short:
            log.info("the ledger's disk has room again", extra={"folder": str(self.folder)})
        self._is_short = False
        self.trouble = None
