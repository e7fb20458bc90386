"""What happened, in order: a line for each event, and one hash over all lines."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable


class Trace:
    """Numbers events, and hashes them. `keep` holds on to the lines, for a person to read."""

    def __init__(self, clock: Callable[[], float], *, keep: bool) -> None:
        self._clock = clock
        self._hash = hashlib.blake2b(digest_size=16)
        self.lines: list[str] | None = [] if keep else None
        self.count = 0

    def __call__(self, who: str, what: str, data: bytes = b"") -> int:
        """Note an event; gives its number. Of `data` only the length and a checksum are kept."""
        self.count += 1
        line = f"{self._clock():.6f} {who} {what}"
        if data:
            line = f"{line} {len(data)} B {zlib.crc32(data):08x}"
        self._hash.update(line.encode() + b"\n")
        if self.lines is not None:
            self.lines.append(line)
        return self.count

    @property
    def digest(self) -> str:
        """The hash over every line so far."""
        return self._hash.hexdigest()
