"""Secrets from files: who may read such a file, and reading one.

Docker mounts its secrets 0444 and systemd's credentials belong to the service alone: under those two folders the mode
is theirs to set, and only write permission for others is refused.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import SecretStr

_DOCKER_SECRETS = Path("/run/secrets")
_MOST_BYTES = 64 * 1024


class SecretFileError(Exception):
    """A secret file that is missing, unreadable, empty or open to others. The text says which."""


def _is_delivered(path: Path, environ: Mapping[str, str]) -> bool:
    folders = [_DOCKER_SECRETS]
    if credentials := environ.get("CREDENTIALS_DIRECTORY"):
        folders.append(Path(credentials))
    return any(path.is_relative_to(folder) for folder in folders)


def refuse_open_mode(path: Path, mode: int, environ: Mapping[str, str]) -> None:
    """Raise `SecretFileError` when `mode` lets others than the owner at the secret in `path`."""
    forbidden = stat.S_IWGRP | stat.S_IWOTH if _is_delivered(path, environ) else stat.S_IRWXG | stat.S_IRWXO
    if stat.S_IMODE(mode) & forbidden:
        raise SecretFileError(f"mode {stat.S_IMODE(mode):04o} lets others than its owner at it")


def check(path: Path, environ: Mapping[str, str]) -> None:
    """Raise `SecretFileError` unless `path` is a readable regular file that is private to its owner."""
    try:
        found = path.stat()
    except OSError as error:
        raise SecretFileError(error.strerror or str(error)) from error
    if not stat.S_ISREG(found.st_mode):
        raise SecretFileError("it is not a regular file")
    refuse_open_mode(path, found.st_mode, environ)
    if not os.access(path, os.R_OK):
        raise SecretFileError("this user may not read it")


def read(path: Path, environ: Mapping[str, str]) -> str:
    """The secret in `path`, without the line end that editors add. Raises `SecretFileError`."""
    check(path, environ)
    try:
        with path.open("rb") as file:
            raw = file.read(_MOST_BYTES + 1)
        secret = raw.decode().rstrip("\r\n")
    except OSError as error:
        raise SecretFileError(error.strerror or str(error)) from error
    except UnicodeDecodeError as error:
        raise SecretFileError("it is not UTF-8 text") from error
    if not secret or len(raw) > _MOST_BYTES:
        raise SecretFileError("it is empty" if not secret else f"it is larger than {_MOST_BYTES} bytes")
    return secret


def secret_of(value: SecretStr | None, file: Path | None, environ: Mapping[str, str]) -> str | None:
    """A secret that is configured by its `value`, or by the `file` that holds it. Raises `SecretFileError`."""
    if file is not None:
        return read(file, environ)
    return None if value is None else value.get_secret_value()
