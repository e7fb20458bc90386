"""The contract between an Exchange and whoever is to get its answer."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Protocol

Headers = Sequence[tuple[bytes, bytes]]
"""Lower-case names and values, without framing: `content-length` and the like are the driver's."""


class Part(Enum):
    """What a piece of a stream is to it."""

    MORE = "more"
    LAST = "last"  # the stream is complete: end it in good form
    BROKEN = "broken"  # the stream failed: flush, then close without the form that says it is complete
    ABORT = "abort"  # the client does not read: drop the connection and what is buffered


MORE, LAST, BROKEN, ABORT = Part


class Client(Protocol):
    """One answer's way out. Either `answer` once, or `begin` once and then `send` until a part that is not `MORE`."""

    @property
    def address(self) -> str | None:
        """Where the client is, as far as it is known."""
        ...

    def unsent(self) -> int:
        """Bytes that wait until the client takes them."""
        ...

    def answer(self, status: int, headers: Headers, body: bytes) -> None:
        """Send a whole answer."""
        ...

    def begin(self, status: int, headers: Headers) -> None:
        """Start a stream; the driver may hold this back until the first `send`."""
        ...

    def send(self, data: bytes, part: Part) -> None:
        """Send whole events."""
        ...
