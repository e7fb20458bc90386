"""Putting the public model name into an answer of an engine that knows the model by another."""

from __future__ import annotations

import msgspec


class Rename:
    """Replaces one model name by another in whole events or whole bodies.

    Works on bytes: inside a JSON string every quote is escaped, so the pattern can only match the member itself.
    """

    __slots__ = ("_pairs",)

    def __init__(self, upstream: str, public: str) -> None:
        old, new = msgspec.json.encode(upstream), msgspec.json.encode(public)
        self._pairs = [(b'"model":' + gap + old, b'"model":' + gap + new) for gap in (b"", b" ")]

    def __call__(self, data: bytes) -> bytes:
        """Return `data` with the public name; `data` holds whole events or one whole body."""
        for old, new in self._pairs:
            data = data.replace(old, new)
        return data
