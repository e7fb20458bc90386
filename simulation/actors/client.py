"""A simulated client: one connection, its requests, and its manners."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from simulation.actors.history import Asked, History, Seen
from simulation.actors.reader import AnswerReader, Malformed
from simulation.actors.requests import render
from simulation.schedule.values import ClientPlan, Flaw, Leaving

if TYPE_CHECKING:
    from simulation.world.loop import VirtualLoop
    from simulation.world.network import Network
    from simulation.world.socket import Socket

GATEWAY = "10.9.9.9:80"
"""Where the gateway listens."""
MOST_PAUSES = 60
"""A slow reader grows tired of being slow."""


class Client(asyncio.Protocol):
    """Begins with `start`; `is_done` when it wants nothing more."""

    def __init__(
        self,
        name: str,
        source: str,
        plan: ClientPlan,
        asked: Sequence[Asked],
        *,
        loop: VirtualLoop,
        network: Network,
        history: History,
    ) -> None:
        self.name = name
        self.plan = plan
        self.asked = asked
        self.is_done = False
        self._source = source
        self._loop = loop
        self._network = network
        self._history = history
        self._reader = AnswerReader(self._answered)
        self.socket: Socket | None = None
        self._sent = 0
        """Requests whose sending was begun."""
        self._done = 0
        """Requests that were answered."""
        self._received_bytes = 0
        self._pauses = 0
        self._has_left = False
        self._timers: list[asyncio.TimerHandle] = []

    @property
    def is_hopeless(self) -> bool:
        """Whether it will never be done: it reads no more, or nothing comes through to it."""
        socket, reads = self.socket, self.plan.reads_bytes
        if socket is None:
            return False
        return socket.inward.is_held or (reads is not None and self._received_bytes >= reads)

    def start(self) -> None:
        """Connect, and ask."""
        self._task = self._loop.create_task(self._connect())

    async def _connect(self) -> None:
        try:
            await self._network.connect(lambda: self, GATEWAY, source=self._source, name=self.name)
        except ConnectionRefusedError:
            self._finish()

    def close(self) -> None:
        """Leave now, for good: the simulation is over."""
        if self.socket is not None:
            self.socket.abort()
        self._finish()

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request, or all."""
        self.socket = transport  # type: ignore[assignment]  # the simulated network's
        plan = self.plan
        if plan.leave is not None and plan.leave.after_seconds is not None:
            self._later(plan.leave.after_seconds, self._leave)
        if plan.reads_bytes == 0:
            self._strike("reads no more")
            self._pause()
        if plan.is_pipelining:
            self._strike("pipelining")
            self._send(len(self.asked))
        else:
            self._send(1)

    def data_received(self, data: bytes) -> None:
        """Read answers."""
        self._received_bytes += len(data)
        try:
            self._reader.feed(data)
        except Malformed as error:
            self._history.problems.append(("I2", f"{self.name} got what is not HTTP: {error}"))
            self._finish()
            self._socket().abort()
            return
        self._look_at_current()
        plan = self.plan
        leave_after = None if plan.leave is None else plan.leave.after_bytes
        if leave_after is not None and self._received_bytes >= leave_after:
            self._leave()
        if plan.reads_bytes is not None and self._received_bytes >= plan.reads_bytes:
            self._strike("reads no more")
            self._pause()
        elif plan.read_pause and self._pauses < MOST_PAUSES:
            self._pauses += 1
            self._pause()
            self._later(plan.read_pause, self._read_on)

    def eof_received(self) -> None:
        """The gateway sends no more."""

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is over."""
        del exc
        if not self.is_done:
            self._reader.end()
        self._finish()

    # --- sending

    def _send(self, count: int) -> None:
        """Begin to send the next `count` requests."""
        asked = self.asked[self._sent : self._sent + count]
        self._sent += len(asked)
        requests = [render(each.plan, each.marker) for each in asked]
        for each in asked:
            each.was_begun = True
            if each.plan.flaw is not Flaw.NONE:
                self._strike(each.plan.flaw.value)
        whole = b"".join(requests)
        size = -(-len(whole) // self.plan.pieces)
        pieces = [whole[at : at + size] for at in range(0, len(whole), size)]
        if self.plan.stalls_after is not None:
            self._strike("stalls while sending")
            pieces = pieces[: self.plan.stalls_after]
            asked = ()
        elif len(pieces) > 1:
            self._strike("sends in pieces")
        self._send_pieces(pieces, asked)

    def _send_pieces(self, pieces: Sequence[bytes], asked: Sequence[Asked]) -> None:
        socket = self._socket()
        if self.is_done or socket.is_closing() or self._has_left:
            return
        socket.write(pieces[0])
        if len(pieces) > 1:
            self._later(self.plan.pause, self._send_pieces, pieces[1:], asked)
            return
        for each in asked:
            each.sent_whole = self._loop.time()

    # --- reading

    def _look_at_current(self) -> None:
        """Give the answer that is being read to its request: it may be all that there will be."""
        current = self._reader.current
        if current is not None and self._done < len(self.asked):
            self._note(self.asked[self._done], current)

    def _answered(self, seen: Seen) -> None:
        if self._done >= self._sent:
            self._history.problems.append(("I9", f"{self.name} got an answer to nothing: {seen}"))
            return
        asked = self.asked[self._done]
        self._note(asked, seen)
        asked.over_at = self._loop.time()
        self._done += 1
        if self._done == len(self.asked) or seen.headers.get(b"connection") == b"close":
            self._later(0.0, self._socket().close)
        elif not self.plan.is_pipelining:
            self._later(self.asked[self._done].plan.think, self._send, 1)

    def _note(self, asked: Asked, seen: Seen) -> None:
        if asked.answer is not None:
            return
        asked.answer = seen
        writes = self._socket().peer.writes
        seen.began = max(number for offset, number in writes if offset <= self._reader.begin_offset)

    def _pause(self) -> None:
        self._socket().pause_reading()

    def _read_on(self) -> None:
        self._socket().resume_reading()

    # --- leaving

    def _leave(self) -> None:
        socket, leave = self._socket(), self.plan.leave
        if leave is None or self._has_left or self.is_done or socket.is_closing():
            return
        self._has_left = True
        self._strike(f"leaves by {leave.how.value}")
        for asked in self.asked:
            asked.left = asked.over_at is None
        if leave.how is Leaving.FIN:
            socket.close()
        elif leave.how is Leaving.RST:
            socket.reset()
        elif leave.how is Leaving.HALF:
            socket.write_eof()
        else:
            socket.outward.hold()
            socket.inward.hold()
            self._finish()

    def _finish(self) -> None:
        if self.is_done:
            return
        self.is_done = True
        for timer in self._timers:
            timer.cancel()
        for asked in self.asked:
            if asked.over_at is None:
                asked.over_at = self._loop.time()

    def _later(self, seconds: float, what: Callable[..., None], *arguments: object) -> None:
        self._timers.append(self._loop.call_later(seconds, what, *arguments))

    def _strike(self, fault: str) -> None:
        self._history.strike(f"client {fault}")

    def _socket(self) -> Socket:
        assert self.socket is not None  # noqa: S101 - nothing is asked of a client before it is connected
        return self.socket
