"""Values with places and paths in them as JSON, for processes that tell each other where the database is."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")


def to_json(value: object) -> bytes:
    """As one line, with the password."""
    return msgspec.json.encode(value, enc_hook=_plain)


def from_json(data: bytes, kind: type[T]) -> T:
    """Raises `msgspec.MsgspecError`."""
    return msgspec.json.decode(data, type=kind, dec_hook=_whole)


def _plain(value: object) -> str:
    if isinstance(value, Path):
        return str(value)
    raise NotImplementedError(type(value))  # msgspec's word for a type that a hook does not know


def _whole(kind: type, value: Any) -> object:
    if kind is Path:
        return Path(value)
    raise NotImplementedError(kind)  # the same
