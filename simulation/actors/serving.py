"""One connection to a simulated engine: takes requests as vLLM does, answers them as planned, and notes each one."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from simulation.actors import script
from simulation.actors.frames import MARKER, Ask
from simulation.actors.history import Dispatch
from simulation.actors.requests import POISON
from simulation.schedule.values import Answering, Behaviour
from simulation.world.wire import How

if TYPE_CHECKING:
    from simulation.actors.engine import Engine
    from simulation.world.socket import Socket

_OPERATIONS = {b"/v1/chat/completions": True, b"/v1/completions": False}
"""Path → whether it is chat."""
_BUSY = frozenset({429, 503})
_SAYING_SO = frozenset({Answering.STATUS, Answering.ERROR_EVENT})


class EngineConnection(asyncio.Protocol):
    """One connection: a request, its answer, and so on."""

    def __init__(self, engine: Engine, socket: Socket) -> None:
        self._engine = engine
        self.socket = socket
        self._received = bytearray()
        self._awaited_bytes = 0
        """Length of the request that is arriving, once its head is there."""
        self._taken_bytes = 0
        self._requests = 0
        self._answering: Dispatch | None = None
        self._script = script.Script(())
        self._is_paused = False
        self._idle: asyncio.TimerHandle | None = None

    @property
    def is_answering(self) -> bool:
        """Whether an answer is not over."""
        return self._answering is not None

    @property
    def is_idle(self) -> bool:
        """Whether nothing runs on it."""
        return self._answering is None and not self._received

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for a request."""
        del transport
        engine = self._engine
        engine.connections[self] = None
        if engine.is_frozen:
            self.socket.pause_reading()
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Collect a request, then answer it."""
        if self._idle is not None:
            self._idle.cancel()
        self._received += data
        if len(self._received) < self._awaited_bytes:
            return
        head, blank, rest = bytes(self._received).partition(b"\r\n\r\n")
        if not blank:
            return
        lines = head.split(b"\r\n")
        headers = dict(line.lower().split(b": ", 1) for line in lines[1:])
        length = int(headers[b"content-length"])
        self._awaited_bytes = len(head) + 4 + length
        if len(rest) < length:
            return
        if self._answering is not None or len(rest) > length:
            self._engine.complain("I9", "two requests at once on one connection")
            self.socket.reset()
            return
        self._received.clear()
        started = self._taken_bytes
        self._taken_bytes += self._awaited_bytes
        self._awaited_bytes = 0
        self._take(lines[0], headers, rest, started)

    def pause_writing(self) -> None:
        """The gateway reads slower than this engine writes."""
        self._is_paused = True

    def resume_writing(self) -> None:
        """It has caught up."""
        self._is_paused = False
        self._wait_for_next()

    def connection_lost(self, exc: Exception | None) -> None:
        """The gateway closed, or this engine did: vLLM aborts what runs."""
        del exc
        engine = self._engine
        engine.connections.pop(self, None)
        if self._idle is not None:
            self._idle.cancel()
        if self._answering is not None:
            engine.trace(engine.plan.id, f"aborts {self._answering.marker}")
            self._over()

    # --- requests

    def _take(self, line: bytes, headers: dict[bytes, bytes], body: bytes, started: int) -> None:
        engine = self._engine
        method, path, _ = line.split(b" ")
        fields = json.loads(body)
        marker = MARKER.search(headers.get(b"x-request-id", b""))
        if method != b"POST" or path not in _OPERATIONS or marker is None:
            engine.complain("I8", f"was sent {line!r}")
            self.socket.reset()
            return
        options = fields.get("stream_options") or {}
        ask = Ask(
            marker=marker[0].decode(),
            request_id=f"cmpl-{headers[b'x-request-id'].decode()}",
            model=fields["model"],
            is_chat=_OPERATIONS[path],
            stream=fields.get("stream") is True,
            usage=options.get("include_usage") is True,
            choices=fields.get("n", 1),
        )
        key = headers.get(b"authorization", b"bearer ").decode().removeprefix("bearer ")
        dispatch = Dispatch(
            engine=engine.plan.id,
            marker=ask.marker,
            address=engine.address,
            model=ask.model,
            key=key,
            sent=self._sent(started),
            is_reused=self._requests > 0,
            socket=self.socket.peer,
            heard_before=self.socket.peer.read_bytes,
        )
        self._requests += 1
        engine.history.dispatches.append(dispatch)
        engine.trace(engine.plan.id, f"takes {ask.marker}")
        behaviour = engine.behaviour()
        if key != engine.key:
            behaviour = Behaviour(Answering.STATUS, status=401)
        elif ask.model not in {upstream for _, upstream in engine.plan.models}:
            behaviour = Behaviour(Answering.STATUS, status=404)
        elif POISON.encode() in body and not engine.is_calm:
            behaviour = Behaviour(Answering.DEATH, delay=0.05, how=behaviour.how)
            dispatch.is_poison = True
        if behaviour.answering is not Answering.WELL:
            engine.history.strike(behaviour.answering.value)
        self._answering = dispatch
        self._script = script.write(behaviour, ask)
        dispatch.pieces = self._script.pieces
        dispatch.turns_away = behaviour.status in _BUSY and behaviour.answering in _SAYING_SO
        self._wait_for_next()

    def _sent(self, started: int) -> int:
        """The event with which the gateway sent the request whose first byte is the `started`th."""
        near = self.socket.peer
        if started == 0:
            return near.opened
        return max(number for offset, number in near.writes if offset <= started)

    # --- answers

    def _wait_for_next(self) -> None:
        """Go on with the next piece when its time has come."""
        dispatch = self._answering
        if dispatch is None:
            return
        if dispatch.written < len(self._script.pieces):
            wait = self._script.pieces[dispatch.written].wait
            self._engine.loop.call_later(wait, self._engine.when_awake, self._next)
        elif self._script.kills and not self._engine.is_calm:
            self._engine.die(self._script.then or How.FIN)
            self._engine.on_death(self._engine)
        elif not self._script.hangs:
            self._finish(self._script.then)

    def _next(self) -> None:
        dispatch = self._answering
        if dispatch is None or self._is_paused or dispatch.written == len(self._script.pieces):
            return
        piece = self._script.pieces[dispatch.written]
        dispatch.written += 1
        self.socket.write(piece.data)
        if not self._is_paused:
            self._wait_for_next()

    def _finish(self, how: How | None) -> None:
        self._over()
        if how is How.RST:
            self.socket.reset()
        elif how is How.FIN:
            self.socket.close()
        else:
            self._wait()

    def _over(self) -> None:
        if self._answering is not None:
            self._answering.is_over = True
            self._answering = None

    def _wait(self) -> None:
        """Close when no request comes for so long."""
        engine = self._engine
        self._idle = engine.loop.call_later(engine.plan.keep_alive, engine.when_awake, self._close_idle)

    def _close_idle(self) -> None:
        if self.is_idle:
            self.socket.close()
