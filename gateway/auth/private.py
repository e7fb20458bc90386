"""Files that belong to their owner alone, read and replaced whole."""

from __future__ import annotations

import os
import stat
from pathlib import Path


class KeyFileError(Exception):
    """The key file or the pepper cannot be used; the text says which and why."""


class KeysGone(KeyFileError):
    """There were keys once, and their file is not there: whoever starts a gateway then has to say what shall be."""


def read_private(path: Path) -> bytes | None:
    """The content of a file that only its owner may read; `None` when there is none. Raises `KeyFileError`."""
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & 0o077:
                raise KeyFileError(f"{path} has mode {mode:04o}: others can get at it; run: chmod 600 {path}")
            return file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise KeyFileError(f"cannot read {path}: {error.strerror}") from error


def replace(path: Path, content: bytes) -> None:
    """Write `content` to `path` in one step that outlasts a power cut. Raises `KeyFileError`."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise KeyFileError(f"cannot write {path}: {error.strerror}") from error
