"""One secret of the data folder, and a key of its own for each purpose: what is made for one is of no use to another.

Derived by HKDF (RFC 5869) with SHA-256; the purpose is its `info`.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
import stat
from pathlib import Path

SECRET_BYTES = 32


class SecretError(Exception):
    """The secret cannot be used; the text says which and why."""


def root_secret(path: Path) -> bytes:
    """The secret at `path`, made at first use with mode 0600. Raises `SecretError`."""
    try:
        found = _read(path)
        if found is None:
            _make(path)
            found = _read(path)
    except OSError as error:
        raise SecretError(f"cannot use {path}: {error.strerror}") from error
    if found is None or len(found) != SECRET_BYTES:
        raise SecretError(f"{path} is not a secret of {SECRET_BYTES} bytes: restore it, or remove it")
    return found


def derive(secret: bytes, purpose: str) -> bytes:
    """The 32 bytes of `secret` for one purpose."""
    extracted = hmac.digest(bytes(hashlib.sha256().digest_size), secret, "sha256")
    return hmac.digest(extracted, purpose.encode() + b"\x01", "sha256")


def _read(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & 0o077:
                raise SecretError(f"{path} has mode {mode:04o}: others can get at it; run: chmod 600 {path}")
            return file.read()
    except FileNotFoundError:
        return None


def _make(path: Path) -> None:
    """Two that start at once make one: whoever links its file first."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(SECRET_BYTES))
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        temporary.unlink()
