"""Follows one engine's events: connected, in step, or neither.

Batches are numbered from 0 by each start of an engine. A follower asks for all that the engine still has of them, then
goes on with what is published. After a gap it asks for what is missing; what the engine has no more is lost, and with it
all that was known. A connection that breaks says that the engine is gone: what it had is forgotten at once, seconds
before anybody else notices.

`Feed` holds what is known and decides; it owns no socket. `Follower` owns the two connections of one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import struct
import time
from collections.abc import Callable

import msgspec

from gateway.fleet.cached.blocks import Blocks
from gateway.fleet.cached.events import read_batch
from gateway.fleet.cached.zmtp import Wire, WireError
from gateway.fleet.endpoint import Published, TcpAddress, UnixAddress

MOST_HELD = 4096
"""Batches that may come while older ones are asked for; with more of them it is asked again."""
REPLAY_SECONDS = 5.0
"""How long the engine may take to tell what it has kept: it looks for questions ten times a second."""
ASKINGS = 2
"""How often the same is asked for: what was published just before we were listening may need a second question."""
CONNECT_SECONDS = 2.0
SOONEST, LATEST = 0.25, 1.0
"""Seconds between two tries to connect: doubled each time. An engine that starts is connected to soon after."""
_END = (1 << 64) - 1

log = logging.getLogger(__name__)


class Feed:
    """What one engine publishes, put in order. `ask` asks the engine for all batches from a number on."""

    __slots__ = (
        "_ask",
        "_asked",
        "_held",
        "_is_asked",
        "_next",
        "_now",
        "batches",
        "blocks",
        "gaps",
        "lag",
        "unread",
    )

    def __init__(self, ask: Callable[[int], object], *, now: Callable[[], float] = time.time) -> None:
        self.blocks = Blocks()
        self._ask = ask
        self._now = now
        self._next = 0
        self._is_asked = False
        self._asked = 0
        """How often in a row the same was asked for."""
        self._held: list[tuple[int, bytes]] = []
        self.batches = self.gaps = self.unread = 0
        self.lag = 0.0
        """Seconds from the engine's step to our knowing of it, of the last batch that was not asked for."""

    @property
    def is_in_step(self) -> bool:
        """Whether nothing is missing, as far as we know."""
        return not self._is_asked

    def begin(self) -> None:
        """The connections are there: learn what the engine has."""
        self._next = 0
        self._asked = 0
        self.blocks.clear()
        self._held.clear()
        self._ask_from(0)

    def lose(self) -> None:
        """The connections are gone: nothing is known any more."""
        self.blocks.clear()
        self._held.clear()
        self._is_asked = True

    def published(self, number: int, payload: bytes) -> None:
        """The engine published a batch."""
        if self._is_asked:
            if len(self._held) < MOST_HELD:
                self._held.append((number, payload))
        elif number == self._next:
            self.lag = max(0.0, self._now() - self._take(number, payload))
        elif number < self._next:  # it counts anew, so it started anew
            self.blocks.clear()
            self._next = self._asked = 0
            self._held.append((number, payload))
            self._ask_from(0)
        elif self._asked < ASKINGS:
            self._held.append((number, payload))
            self._ask_from(self._next)
        else:
            self._jump(number, payload)

    def replayed(self, number: int, payload: bytes) -> None:
        """The engine told of a batch again, or that there are no more of them (-1)."""
        if number == _END:
            self._is_asked = False
            held, self._held = self._held, []
            for each, kept in held:
                if each >= self._next:
                    self.published(each, kept)
        elif number == self._next:
            self._take(number, payload)
        elif number > self._next:
            self._jump(number, payload)

    def _jump(self, number: int, payload: bytes) -> None:
        """The batches before this one are lost: what they dropped may be anything."""
        self.gaps += 1
        self.blocks.clear()
        self._take(number, payload)

    def _ask_from(self, number: int) -> None:
        self._is_asked = True
        self._asked += 1
        self._ask(number)

    def _take(self, number: int, payload: bytes) -> float:
        """Take in a batch and give its time."""
        self._next = number + 1
        self._asked = 0
        self.batches += 1
        try:
            batch = read_batch(payload)
        except msgspec.DecodeError as error:
            if not self.unread:
                log.warning("events of a prefix cache cannot be read", extra={"error": str(error)})
            self.unread += 1
            return self._now()
        self.blocks.take(batch)
        return batch.ts


class Follower:
    """Follows the engine that publishes at `where`. Whoever owns it calls `start` once and `close` at the end."""

    def __init__(self, name: str, where: Published) -> None:
        self.name = name
        self.where = where
        self.feed = Feed(self._ask)
        self.is_connected = False
        self._questions: _Connection | None = None
        self._lost: asyncio.Future[None] | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<Follower {self.name} {'connected' if self.is_connected else 'alone'} {self.feed.blocks}>"

    @property
    def blocks(self) -> Blocks:
        """What the engine has."""
        return self.feed.blocks

    def start(self) -> None:
        """Begin. To be called on the event loop."""
        self._task = asyncio.get_running_loop().create_task(self._follow())
        self._task.add_done_callback(self._ended)

    def close(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A follower that ends by itself is a bug: calls go on, by what was sent."""
        self.is_connected = False
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a prefix cache is not followed any more", exc_info=error, extra={"replica": self.name})

    async def _follow(self) -> None:
        pause = SOONEST
        while True:
            try:
                await self._once()
            except (OSError, TimeoutError, WireError) as error:
                log.debug("a prefix cache is not followed", extra={"replica": self.name, "error": str(error)})
            pause = SOONEST if self.is_connected else min(LATEST, pause * 2)
            self.is_connected = False
            await asyncio.sleep(pause)

    async def _once(self) -> None:
        """Follow until a connection breaks."""
        lost = self._lost = asyncio.get_running_loop().create_future()
        try:
            async with contextlib.AsyncExitStack() as stack:
                events = await _connected(self.where.events, b"SUB", self._event, self._broken)
                stack.callback(events.close)
                questions = await _connected(self.where.replay, b"DEALER", self._answer, self._broken)
                stack.callback(questions.close)
                self._questions = questions
                events.send(b"\x01")  # all topics
                self.is_connected = True
                self.feed.begin()
                await lost
        finally:
            self.feed.lose()
            self._questions = None
            if not lost.cancel() and not lost.cancelled():
                lost.exception()  # looked at, or asyncio would log that nobody did
            if self._deadline is not None:
                self._deadline.cancel()

    def _ask(self, number: int) -> None:
        if self._questions is not None:
            self._questions.send(b"", struct.pack(">Q", number))
            if self._deadline is not None:
                self._deadline.cancel()
            loop = asyncio.get_running_loop()
            self._deadline = loop.call_later(REPLAY_SECONDS, self._broken, TimeoutError("no replay"))

    def _event(self, frames: tuple[bytes, ...]) -> None:
        if len(frames) != 3 or len(frames[1]) != 8:  # noqa: PLR2004 - topic, number, payload
            raise WireError("an event of another shape")
        self.feed.published(int.from_bytes(frames[1], "big"), frames[2])

    def _answer(self, frames: tuple[bytes, ...]) -> None:
        if len(frames) != 4 or len(frames[2]) != 8:  # noqa: PLR2004 - empty, topic, number, payload
            raise WireError("a replay of another shape")
        number = int.from_bytes(frames[2], "big")
        if number == _END and self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        self.feed.replayed(number, frames[3])

    def _broken(self, error: Exception | None) -> None:
        self.feed.lose()
        lost = self._lost
        if lost is not None and not lost.done():
            if error is None:
                lost.set_result(None)
            else:
                lost.set_exception(error)


class _Connection(asyncio.Protocol):
    """One connection to an engine's socket."""

    def __init__(
        self,
        kind: bytes,
        receive: Callable[[tuple[bytes, ...]], object],
        broken: Callable[[Exception | None], object],
    ) -> None:
        self._broken = broken
        self._is_closed = False
        self._transport: asyncio.Transport | None = None
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._wire = Wire(kind, self._write, receive, self._opened)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # of a stream
        self._wire.begin()

    def data_received(self, data: bytes) -> None:
        if self._is_closed:
            return
        try:
            self._wire.feed(data)
        except WireError as error:
            self._end(error)
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(exc)

    def send(self, *frames: bytes) -> None:
        """Send a message."""
        self._wire.message(*frames)

    def close(self) -> None:
        """Tell nothing more."""
        self._is_closed = True
        if self._transport is not None:
            self._transport.close()

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def _opened(self) -> None:
        if not self.opened.done():
            self.opened.set_result(None)

    def _end(self, error: Exception | None) -> None:
        if not self.opened.done():
            self.opened.set_exception(error or ConnectionError("closed before it was ready"))
        elif not self._is_closed:
            self._broken(error)


async def _connected(
    address: UnixAddress | TcpAddress,
    kind: bytes,
    receive: Callable[[tuple[bytes, ...]], object],
    broken: Callable[[Exception | None], object],
) -> _Connection:
    """Connect, and be ready for messages. Raises `OSError`, `TimeoutError` and `WireError`."""
    loop = asyncio.get_running_loop()

    def made() -> _Connection:
        return _Connection(kind, receive, broken)

    async with asyncio.timeout(CONNECT_SECONDS):
        if isinstance(address, UnixAddress):
            _, connection = await loop.create_unix_connection(made, address.path)
        else:
            _, connection = await loop.create_connection(made, address.host, address.port)
        try:
            await connection.opened
        except BaseException:
            connection.close()
            raise
    return connection
