"""One life of the connection to the server: commands out, answers in their order, and whether they come in time.

It decides nothing: its owner is told of each answer, and of the end.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol, cast

from gateway.ratelimit.shared.resp import Parser, ProtocolError, Push, Reply
from gateway.ratelimit.shared.scripts import Script

_GRACE_S: Final = 0.003
"""More patience where the event loop itself was late: answers may lie in the socket already."""
_SAMPLES: Final = 64
_LEAST_SAMPLES: Final = 40
SLOW_SHARE: Final = 20
"""One of so many answers may be slow: the 95th percentile."""


class Sink(Protocol):
    """Who waits for an answer. Exactly one of the two is called, once."""

    def answered(self, reply: Reply) -> None:
        """This is it; never an `ErrorReply`."""
        ...

    def lost(self) -> None:
        """There will be none. Whether the server did it is not known."""
        ...


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a server is waited for, in seconds."""

    connect: float = 1.0
    """Nobody but the next attempt waits for it."""
    answer: float = 0.05
    slow: float = 0.02
    """A server whose 95th percentile is longer is done without."""


class Waiting(NamedTuple):
    """One command that was sent, with what to send it again."""

    sink: Sink
    since: float
    script: Script | None = None
    tail: bytes = b""
    words: int = 0


class Owner(Protocol):
    """Who is told; of the end perhaps more than once."""

    def heard(self, wire: Wire, waiting: Waiting, reply: Reply) -> None:
        """An answer to the oldest command."""
        ...

    def slowed(self, wire: Wire) -> None:
        """It answers, and too slowly."""
        ...

    def ended(self, wire: Wire, why: str) -> None:
        """The connection is gone, or is given up."""
        ...


class Wire(asyncio.Protocol):
    """One life of the connection. `clock` gives monotonic seconds."""

    def __init__(self, owner: Owner, patience: Patience, clock: Callable[[], float]) -> None:
        self._owner = owner
        self._patience = patience
        self._clock = clock
        self._parser = Parser()
        self._out: list[bytes] = []
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._is_late = False
        self._took: deque[bool] = deque(maxlen=_SAMPLES)
        self.waiting: deque[Waiting] = deque()

    def send(self, text: bytes, waiting: Waiting) -> None:
        """Send with the rest of this tick."""
        self.waiting.append(waiting)
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(text)
        if self._timer is None:
            self._timer = self._loop.call_later(self._patience.answer, self._look)

    def abort(self) -> None:
        """Close without a word."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._transport is not None:
            self._transport.abort()

    def leave(self) -> list[Waiting]:
        """Those who still wait; they do no more."""
        left = list(self.waiting)
        self.waiting.clear()
        return left

    def _flush(self) -> None:
        out, self._out = self._out, []
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(b"".join(out))

    def _look(self) -> None:
        """Give up a server whose oldest answer is overdue."""
        self._timer = None
        if not self.waiting:
            return
        left = self.waiting[0].since + self._patience.answer - self._clock()
        if left > 0:
            self._is_late = False
            self._timer = self._loop.call_later(left, self._look)
        elif not self._is_late:
            self._is_late = True
            self._timer = self._loop.call_later(_GRACE_S, self._look)
        else:
            self._owner.ended(self, f"no answer within {self._patience.answer * 1000:.0f} ms")
            self.abort()

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep it."""
        self._transport = cast("asyncio.Transport", transport)  # a stream socket's; uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        """Hand out the answers."""
        try:
            replies = self._parser.feed(data)
        except ProtocolError as error:
            self._owner.ended(self, str(error))
            self.abort()
            return
        waiting = self.waiting
        self._is_late = False
        is_slow = bool(waiting) and self._clock() - waiting[0].since > self._patience.slow
        self._took.append(is_slow)
        for reply in replies:
            if isinstance(reply, Push):
                continue
            if not waiting:
                return  # given up meanwhile
            self._owner.heard(self, waiting.popleft(), reply)
        if is_slow and len(self._took) >= _LEAST_SAMPLES and sum(self._took) * SLOW_SHARE > len(self._took):
            self._owner.slowed(self)
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever waits."""
        self._transport = None
        self._owner.ended(self, str(exc) if exc else "it closed the connection")
