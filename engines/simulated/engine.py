"""A simulated engine with its sockets: in a test's own event loop, or as a process of its own."""

from __future__ import annotations

import asyncio
import random
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from engines.simulated.connection import Connection
from engines.simulated.heads import Heads
from engines.simulated.idling import Idling
from engines.simulated.journal import Journal
from engines.simulated.options import Options
from engines.simulated.script import Fault, FaultKind, Script
from engines.simulated.service import Service
from engines.simulated.visit import World

DEAD_MESSAGE = "EngineCore encountered an issue. See stack trace (above) for the root cause."
_BACKLOG = 2048
_DEATH_SECONDS = 0.1


class SimulatedEngine:
    """A vLLM server that makes no effort.

    `async with SimulatedEngine(itl_ms=5).serve(uds=path) as engine:` gives a running one; leaving the block stops it.
    A `die` fault drops every connection and the listener, as a SIGKILL would; `die` replaces what happens then.
    """

    def __init__(
        self,
        options: Options | None = None,
        script: Script | None = None,
        *,
        die: Callable[[int], None] | None = None,
        wall_clock: Callable[[], float] = time.time,
        **changes: Any,
    ) -> None:
        self.options = options or Options()
        self._first_script = (script or Script()).changed(changes)
        self._die = die
        self._wall_clock = wall_clock
        self._service: Service | None = None
        self._idling: Idling | None = None
        self._server: asyncio.Server | None = None
        self._connections: set[Connection] = set()
        self.exit_code: int | None = None
        """The code of a `die` fault that has struck; `None` while it lives."""
        self.address = ""
        """`unix:/path` or `http://host:port` of the listener."""

    def __repr__(self) -> str:
        return f"<SimulatedEngine {self.address}: {self.service.batch!r}, {self.log!r}>"

    @property
    def service(self) -> Service:
        """Its inside. Raises `RuntimeError` before it serves."""
        if self._service is None:
            raise RuntimeError("the engine does not serve yet")
        return self._service

    @property
    def log(self) -> Journal:
        """What reached it and how it ended."""
        return self.service.journal

    @property
    def running(self) -> int:
        """Sequences that are being generated."""
        return self.service.batch.running

    @property
    def waiting(self) -> int:
        """Sequences that wait for room."""
        return self.service.batch.waiting

    @property
    def connections(self) -> int:
        """Connections that are open."""
        return len(self._connections)

    def script(self, **changes: Any) -> None:
        """Change the script for the requests that come from now on. `faults=` replaces all faults."""
        self.service.use(self.service.script.changed(changes))

    def fault(self, kind: str | FaultKind, **how: Any) -> None:
        """Add one fault before the others; `how` are the fields of `Fault`."""
        added = Fault(kind=FaultKind(kind), **how)
        self.script(faults=(added, *self.service.script.faults))

    def reset(self) -> None:
        """Go back to the first script and forget the log."""
        self.service.reset()

    @asynccontextmanager
    async def serve(
        self, *, uds: str | Path | None = None, host: str = "127.0.0.1", port: int | None = None
    ) -> AsyncIterator[SimulatedEngine]:
        """Listen on a unix socket or a TCP port (0: any); stop when the block is left.

        Raises `OSError` when it cannot listen.
        """
        await self.start(uds=uds, host=host, port=port)
        try:
            yield self
        finally:
            await self.stop()

    async def start(
        self,
        *,
        uds: str | Path | None = None,
        host: str = "127.0.0.1",
        port: int | None = None,
        sock: socket.socket | None = None,
    ) -> None:
        """Listen, on a bound socket if one is given. `stop` ends it. Raises `OSError` when it cannot listen."""
        loop = asyncio.get_running_loop()
        rng = random.Random(self._first_script.seed)  # noqa: S311 a test's choices, no secret
        world = World(loop, self._wall_clock, rng, self._die or self.crash)
        self._service = service = Service(self.options, self._first_script, world)
        heads = Heads(self._wall_clock)
        self._idling = idling = Idling(loop, self.options.keep_alive)

        def connect() -> Connection:
            return Connection(service, heads, idling, loop, self._connections)

        if sock is not None and sock.family == socket.AF_UNIX:
            self._server = await loop.create_unix_server(connect, sock=sock, backlog=_BACKLOG)
            self.address = f"unix:{sock.getsockname()}"
            return
        if uds is not None:
            self._server = await loop.create_unix_server(connect, str(uds), backlog=_BACKLOG)
            self.address = f"unix:{uds}"
            return
        if sock is not None:
            self._server = await loop.create_server(connect, sock=sock, backlog=_BACKLOG)
        else:
            self._server = await loop.create_server(connect, host, port or 0, backlog=_BACKLOG)
        bound = self._server.sockets[0].getsockname()
        self.address = f"http://{bound[0]}:{bound[1]}"

    async def stop(self) -> None:
        """Drop everything and close the listener. May be called again."""
        self._drop_all(reset=False)
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None

    def crash(self, code: int) -> None:
        """Do what a SIGKILL does, within this process: the listener and every connection are gone at once."""
        self.exit_code = code
        self._drop_all(reset=True)
        if self._server is not None:
            self._server.close()

    async def shut_down(self) -> None:
        """Do what vLLM does on SIGTERM.

        Without a shutdown timeout everything under way fails; with one it may finish, while new generations get 500.
        """
        service = self.service
        if self.options.shutdown_timeout > 0:
            await self._drain(service)
        else:
            await asyncio.sleep(_DEATH_SECONDS)
        await self.fail()

    async def fail(self, message: str = DEAD_MESSAGE) -> None:
        """Do what vLLM does when its core dies: an error to everything under way, then the end."""
        if self._server is not None:
            self._server.close()
        self.service.generator.fail_all(message)
        await asyncio.sleep(_DEATH_SECONDS)
        await self.stop()

    async def _drain(self, service: Service) -> None:
        service.generator.is_draining = True
        if not service.generator.live:
            return
        idle = asyncio.Event()
        service.generator.on_idle = idle.set
        try:
            async with asyncio.timeout(self.options.shutdown_timeout):
                await idle.wait()
        except TimeoutError:
            return

    def _drop_all(self, *, reset: bool) -> None:
        if self._idling is not None:
            self._idling.stop()
        for connection in tuple(self._connections):
            connection.cut(reset=reset)
