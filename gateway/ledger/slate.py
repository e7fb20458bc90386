"""What was appended and is not on disk yet, in memory that outlives the process.

Between an `append` and the end of its group commit, 20 ms as a rule, a record is in this process alone; killed in that time,
a call would have reached an engine and left no trace. So each frame is copied into a shared mapping first: the kernel
keeps the page when the process is gone, and the next start reads it. The file is in shared memory where there is some: a
store into a page of a disk's file may wait for that disk's journal. It does not outlive the machine, and need not: that is
what the spool's own files are for.
"""

from __future__ import annotations

import mmap
import os
import re
import secrets
import stat
import struct
from contextlib import suppress
from pathlib import Path

from gateway.ledger.frames import scan

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - opened without following links, refused when it is not ours
SLATE_BYTES = 4 * 1024 * 1024
_HEAD = struct.Struct("<Q")
_NAME = re.compile("[0-9a-f]{24}")
_RING = 64
"""Where the ring of frames begins; before it is the number up to which frames are on disk."""


class Slate:
    """A ring of the newest frames. Numbers rise by one with each frame."""

    def __init__(self, folder: Path, *, size: int = SLATE_BYTES, memory: Path = SHARED_MEMORY) -> None:
        """Open the slate of the spool in `folder`, or make it. Raises `OSError`."""
        self.path, self._descriptor = _open(folder, size, memory)
        self._map = mmap.mmap(self._descriptor, size)
        self.room = size - _RING
        self._size = size
        self._at = _RING

    def put(self, frame: bytes) -> None:
        """Keep `frame`. The oldest ones give way: whoever puts sees to it that they are on disk."""
        at = self._at
        end = at + len(frame)
        if end > self._size:
            at, end = _RING, _RING + len(frame)
        self._map[at:end] = frame
        self._at = end

    def rewind(self) -> None:
        """Begin at the beginning again, since all that is in it is on disk: few pages are then ever touched."""
        self._at = _RING

    def commit(self, number: int) -> None:
        """All frames up to `number` are on disk."""
        _HEAD.pack_into(self._map, 0, number)

    def left(self) -> list[bytes]:
        """The payloads of the frames that are on no disk, oldest first: what a process that died left behind."""
        (committed,) = _HEAD.unpack_from(self._map, 0)
        data = os.pread(self._descriptor, self._size, _RING)  # not by the map, in which all of it would stay
        found = {each.number: each.payload for each in scan(data).frames if each.number > committed}
        return [found[number] for number in sorted(found)]

    def clear(self) -> None:
        """Forget everything. Raises `OSError`, and then the mapping cannot be used."""
        os.ftruncate(self._descriptor, 0)
        os.posix_fallocate(self._descriptor, 0, self._size)
        self._at = _RING

    def close(self, *, forget: bool) -> None:
        """End the mapping; with `forget`, the file too."""
        if forget:
            with suppress(OSError):
                self.path.unlink()
        self._map.close()
        os.close(self._descriptor)


def _open(folder: Path, size: int, memory: Path) -> tuple[Path, int]:
    """A file of `size` bytes that are really there: a page that could not be had would be the end of the process."""
    places = [memory / f"cascadia-ledger-{_name(folder)}"] if memory.is_dir() else []
    for path in [*places, folder / "slate"]:
        with suppress(OSError):
            return path, _allocated(path, size)
    path = folder / "slate"
    return path, _allocated(path, size)


def _name(folder: Path) -> str:
    """The name of this folder's slate. Nothing that another folder could have later, as a path or an inode is."""
    path = folder / "slate.name"
    with suppress(FileNotFoundError):
        known = path.read_text("ascii")
        if _NAME.fullmatch(known):
            return known
    name = secrets.token_hex(12)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, name.encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return name


def _allocated(path: Path, size: int) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        status = os.fstat(descriptor)
        if status.st_uid != os.geteuid() or not stat.S_ISREG(status.st_mode) or status.st_mode & 0o077:
            raise PermissionError(f"{path} belongs to somebody else")
        os.posix_fallocate(descriptor, 0, size)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
