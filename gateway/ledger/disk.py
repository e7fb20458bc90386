"""The files of the spool: the few calls through which it touches a disk. A test's own disk fails where it is told to."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


class File:
    """A file that is written from its beginning to its end, once."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    def write(self, data: bytes) -> None:
        """Write all of it. Raises `OSError`; how much of it is there then is not known."""
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]

    def sync(self) -> None:
        """Return once all that was written is on disk. Raises `OSError`.

        A second try on this file would mean nothing: the kernel has thrown the pages away.
        """
        os.fdatasync(self._descriptor)

    def cut(self, size: int) -> None:
        """Make it `size` bytes long. Raises `OSError`."""
        os.ftruncate(self._descriptor, size)

    def close(self) -> None:
        """Close it; an error of that says nothing that `sync` did not."""
        with suppress(OSError):
            os.close(self._descriptor)


class Disk:
    """A real one."""

    def create(self, path: Path) -> File:
        """A new file at `path`, whose name is on disk too. Raises `OSError`."""
        made = File(path)
        try:
            self.sync_folder(path.parent)
        except OSError:
            made.close()
            raise
        return made

    def sync_folder(self, folder: Path) -> None:
        """Return once the names in `folder` are on disk. Raises `OSError`."""
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def reserve(self, path: Path, size: int) -> None:
        """A file of `size` bytes that holds nothing but its place. Raises `OSError` and leaves none."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, size)
        except OSError:
            path.unlink(missing_ok=True)
            raise
        finally:
            os.close(descriptor)

    def free(self, folder: Path) -> int:
        """Bytes that this user may still write. Raises `OSError`."""
        found = os.statvfs(folder)
        return found.f_bavail * found.f_frsize

    def remove(self, path: Path) -> None:
        """Make it go; one that is not there is gone. Raises `OSError`."""
        path.unlink(missing_ok=True)
