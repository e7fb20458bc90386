"""A simulated engine: takes requests as vLLM does, answers them as its plan says, and notes each one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from gateway.fleet.endpoint import Endpoint, parse_address
from simulation.actors import script
from simulation.actors.frames import MARKER, Ask
from simulation.actors.history import Dispatch, History
from simulation.schedule.values import Answering, Behaviour, EnginePlan
from simulation.world.wire import How

if TYPE_CHECKING:
    from simulation.world.loop import VirtualLoop
    from simulation.world.network import Network
    from simulation.world.socket import Socket
    from simulation.world.trace import Trace

_OPERATIONS = {b"/v1/chat/completions": True, b"/v1/completions": False}
"""Path → whether it is chat."""
_BUSY = frozenset({429, 503})
_SAYING_SO = frozenset({Answering.STATUS, Answering.ERROR_EVENT})


class Engine:
    """One engine, over all of its processes. `generation` counts those."""

    def __init__(
        self,
        plan: EnginePlan,
        loop: VirtualLoop,
        network: Network,
        trace: Trace,
        history: History,
        *,
        on_death: Callable[[Engine], None],
    ) -> None:
        self.plan = plan
        self.loop = loop
        self.trace = trace
        self.history = history
        self.on_death = on_death
        """Told when it died of a request."""
        self._network = network
        self._requests = 0
        self.generation = 0
        self.is_up = False
        self.is_frozen = False
        self.is_calm = False
        """Answers everything well from now on."""
        self.connections: dict[EngineConnection, None] = {}
        self._thawing: list[Callable[[], None]] = []

    @property
    def address(self) -> str:
        """Where its present process listens, or the last one did."""
        place = self.plan.address
        if self.generation == 0:
            return place
        if place.startswith("unix:"):
            return place.replace("-0.sock", f"-{self.generation}.sock")
        host, _, port = place.partition(":")
        return f"{host}:{int(port) + self.generation}"

    @property
    def key(self) -> str:
        """The key of its present process."""
        return f"key-{self.plan.id}-{self.generation}"

    def endpoint(self) -> Endpoint:
        """How discovery would describe it now."""
        address = self.address if self.address.startswith("unix:") else f"http://{self.address}"
        return Endpoint(
            id=self.plan.id,
            address=parse_address(address),
            engine="vllm",
            models=self.plan.models,
            api_key=self.key,
            max_in_flight=self.plan.max_in_flight,
            idle_seconds=self.plan.idle_seconds,
        )

    # --- what happens to it

    def start(self) -> None:
        """Run."""
        self.is_up = True
        self._network.listen(self.address, lambda socket: EngineConnection(self, socket))

    def die(self, how: How) -> None:
        """The process ends; the kernel closes what it had open."""
        if not self.is_up:
            return
        self.is_up = self.is_frozen = False
        self._thawing.clear()
        self._network.refuse(self.address)
        for connection in list(self.connections):
            if how is How.RST:
                connection.socket.reset()
            else:
                connection.socket.abort()

    def come_back(self) -> None:
        """Run again, as another process."""
        self.generation += 1
        self.start()

    def vanish(self) -> None:
        """Nothing sent to it or by it arrives."""
        self._network.swallow(self.address)

    def reappear(self) -> None:
        """Can be reached again."""
        self._network.restore(self.address)

    def freeze(self) -> None:
        """Do nothing until `thaw`."""
        self.is_frozen = True
        for connection in self.connections:
            connection.socket.pause_reading()

    def thaw(self) -> None:
        """Go on."""
        self.is_frozen = False
        for connection in list(self.connections):
            connection.socket.resume_reading()
        waiting, self._thawing = self._thawing, []
        for go_on in waiting:
            self.loop.call_soon(go_on)

    def close_idle(self) -> None:
        """Close every connection on which nothing runs."""
        if self.is_frozen:
            return
        for connection in list(self.connections):
            if connection.is_idle:
                connection.socket.close()

    def talk_idle(self) -> None:
        """Say on every connection on which nothing runs that it took too long, as some servers do before they close."""
        if self.is_frozen:
            return
        for connection in list(self.connections):
            if connection.is_idle:
                connection.socket.write(
                    b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
                )
                connection.socket.close()

    # --- for its connections

    def when_awake(self, go_on: Callable[[], None]) -> None:
        """Call `go_on` now, or when it is thawed."""
        if self.is_frozen:
            self._thawing.append(go_on)
        else:
            go_on()

    def behaviour(self) -> Behaviour:
        """How the request that came just now is answered."""
        number, self._requests = self._requests, self._requests + 1
        planned = self.plan.behaviours[number % len(self.plan.behaviours)]
        if self.is_calm:
            return replace(planned, answering=Answering.WELL, delay=0.01, gap=0.01)
        return planned

    def complain(self, invariant: str, what: str) -> None:
        """Note that the gateway did what it must not."""
        self.history.problems.append((invariant, f"{self.plan.id}: {what}"))


class EngineConnection(asyncio.Protocol):
    """One connection: a request, its answer, and so on."""

    def __init__(self, engine: Engine, socket: Socket) -> None:
        self._engine = engine
        self.socket = socket
        self._received = bytearray()
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
        head, blank, rest = bytes(self._received).partition(b"\r\n\r\n")
        if not blank:
            return
        lines = head.split(b"\r\n")
        headers = dict(line.lower().split(b": ", 1) for line in lines[1:])
        length = int(headers[b"content-length"])
        if len(rest) < length:
            return
        if self._answering is not None or len(rest) > length:
            self._engine.complain("I9", "two requests at once on one connection")
            self.socket.reset()
            return
        whole = len(head) + 4 + length
        self._received.clear()
        started, self._taken_bytes = self._taken_bytes, self._taken_bytes + whole
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
        marker = MARKER.search(body)
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
