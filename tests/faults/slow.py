"""Slow connections, as many as are wanted, beside one honest client: is it served, and are they closed? (F58, F60, G15)

python -m tests.faults.slow --connections 5000
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import resource
import socket
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvloop

from tests.faults.asking import Asked, Got, ask, body
from tests.faults.flood import FloodProcess
from tests.faults.processes import EngineProcess, GatewayProcess, in_front_of

HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
SMALL_BUFFER_BYTES = 4096
SLACK_SECONDS = 15.0
"""How late a busy machine may be."""


@dataclass(frozen=True)
class Times:
    """What the gateway is told to allow, in seconds."""

    header: float
    body: float
    idle: float
    stall: float

    def sections(self, connections: int) -> Mapping[str, Mapping[str, Any]]:
        """As configuration, with room for so many connections and for the honest client's."""
        room = connections + 100
        caps = {"max_connections": room, "max_connections_per_address": room}
        listen = {"listen": "127.0.0.1:0", "admin_listen": "127.0.0.1:0"}
        return {"timeouts": self.__dict__, "server": {**listen, **caps}}


@dataclass(frozen=True)
class Kind:
    """One way to be slow: what is sent at once, what is dripped, and which of the times ends it."""

    first: bytes
    drip: bytes
    limit: Callable[[Times], float]


KINDS: Mapping[str, Kind] = {
    "says nothing": Kind(b"", b"", lambda times: times.header),
    "slow head": Kind(HEAD, b"x: a\r\n", lambda times: times.header),
    "slow body": Kind(HEAD + b"content-length: 100000\r\n\r\n", b" ", lambda times: times.body),
    "slow chunks": Kind(
        HEAD + b"transfer-encoding: chunked\r\n\r\n", b"1\r\n \r\n", lambda times: times.body
    ),
    "idle": Kind(b"GET /v1/models HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n", b"", lambda times: times.idle),
}
_ENDLESS = json.dumps({**body(tokens=1, stream=True), "model": "large-events"}).encode()
UNREAD = HEAD + b"content-length: %d\r\n\r\n%b" % (len(_ENDLESS), _ENDLESS)
"""What those ask for who then do not read."""


class Slow(asyncio.Protocol):
    """One slow connection. `lived` is how long the gateway bore it, in seconds; `None` while it does."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.kind = KINDS[name]
        self.lived: float | None = None
        self.received = b""
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # a stream socket's
        if self.kind.first:
            self.transport.write(self.kind.first)

    def data_received(self, data: bytes) -> None:
        self.received += data

    def eof_received(self) -> None:
        self.connection_lost(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.lived is None:
            self.lived = self._loop.time() - self._began

    def drip(self) -> None:
        """Send a little more."""
        if self.lived is None and self.kind.drip:
            self.transport.write(self.kind.drip)


@dataclass
class Siege:
    """What came of it."""

    slow: list[Slow] = field(default_factory=list)
    honest: Counter[Got] = field(default_factory=Counter)
    calm_seconds: list[float] = field(default_factory=list)
    """How long the honest client's requests took before anybody was slow."""
    busy_seconds: list[float] = field(default_factory=list)
    """And while they were."""

    unread: list[float] = field(default_factory=list)
    """How long the gateway bore those that do not read, by its own log: they themselves see nothing of it."""

    def left(self) -> Counter[str]:
        """Those that were not closed."""
        return Counter(one.name for one in self.slow if one.lived is None)

    def late(self, times: Times) -> list[tuple[str, float]]:
        """Those that were closed much later than their time says."""
        lives = [(one.name, one.lived or 0.0, one.kind.limit(times)) for one in self.slow]
        lives += [("does not read", seconds, times.stall) for seconds in self.unread]
        return [(name, lived) for name, lived, limit in lives if lived > limit + SLACK_SECONDS]

    def __str__(self) -> str:
        lived = {
            name: max((one.lived or 0 for one in self.slow if one.name == name), default=0) for name in KINDS
        }
        lived["does not read"] = max(self.unread, default=0)
        return (
            f"{len(self.slow) + len(self.unread)} slow connections: honest client {self.honest[Got.COMPLETE]} of "
            f"{self.honest.total()} answered, p99 {_p99(self.busy_seconds) * 1000:.0f} ms "
            f"(calm: {_p99(self.calm_seconds) * 1000:.0f} ms); longest lives: "
            + ", ".join(f"{name} {seconds:.1f} s" for name, seconds in lived.items())
        )


def _p99(values: Sequence[float]) -> float:
    return sorted(values)[len(values) * 99 // 100]


async def siege(
    gateway: GatewayProcess, times: Times, *, counts: Mapping[str, int], unread: int, drip_seconds: float
) -> Siege:
    """Open so many connections of each kind, and `unread` more that do not read what they asked for.

    Honest requests go on, one after another, until the gateway has closed all of them.
    """
    found = Siege()
    numbers = itertools.count()
    for _ in range(50):
        await _ask_honestly(gateway, next(numbers), found.honest, found.calm_seconds)
    dripping = asyncio.create_task(_drip(found.slow, drip_seconds))
    opening = asyncio.create_task(_open(gateway.address, counts, found.slow))
    sockets = [await open_unread(gateway.address) for _ in range(unread)]
    try:
        longest = max(times.header, times.body, times.idle, times.stall)
        end = time.monotonic() + longest + 2 * SLACK_SECONDS
        while not (opening.done() and await _is_over(gateway, found)) and time.monotonic() < end:
            for _ in range(10):
                await _ask_honestly(gateway, next(numbers), found.honest, found.busy_seconds)
        await opening
        gone = [call for call in gateway.calls() if call["outcome"] == "client_gone"]
        found.unread = [call["duration_ms"] / 1000 for call in gone]
    finally:
        dripping.cancel()
        for one in found.slow:
            one.transport.abort()
        for sock in sockets:
            sock.close()
    return found


async def _is_over(gateway: GatewayProcess, found: Siege) -> bool:
    return not found.left() and await asyncio.to_thread(gateway.held) == (0.0, 0)


async def _open(address: tuple[str, int], counts: Mapping[str, int], opened: list[Slow]) -> None:
    """Kinds mixed: each is there from the beginning."""
    loop = asyncio.get_running_loop()
    names = [
        name for row in itertools.zip_longest(*([n] * count for n, count in counts.items())) for name in row
    ]
    for name in filter(None, names):
        one = Slow(name)
        await loop.create_connection(lambda one=one: one, *address)  # type: ignore[misc]
        opened.append(one)


async def open_unread(address: tuple[str, int]) -> socket.socket:
    """A socket on which an endless answer was asked for, and on which nobody reads."""
    loop = asyncio.get_running_loop()
    sock = socket.socket()
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER_BYTES)
    await loop.sock_connect(sock, address)
    await loop.sock_sendall(sock, UNREAD)
    return sock


async def _drip(slow: list[Slow], seconds: float) -> None:
    while True:
        await asyncio.sleep(seconds)
        for one in tuple(slow):
            one.drip()


async def _ask_honestly(
    gateway: GatewayProcess, number: int, got: Counter[Got], seconds: list[float]
) -> None:
    asked = Asked(number, body(tokens=2, stream=True))
    began = time.monotonic()
    await ask(gateway.address, asked)
    seconds.append(time.monotonic() - began)
    got[asked.got()] += 1


def engines_in(folder: Path) -> list[EngineProcess]:
    """One for the honest client, one that has more for those who do not read than the kernel holds."""
    return [EngineProcess(folder, "honest", is_tcp=False), FloodProcess(folder)]


def main() -> None:
    """The full size, from the command line, with the times that the gateway has by itself unless told otherwise."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--connections", type=int, default=5000)
    parser.add_argument("--unread", type=int, default=100, help="how many of them do not read")
    told = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    counts = dict.fromkeys(KINDS, (told.connections - told.unread) // len(KINDS))
    times = Times(header=10, body=30, idle=75, stall=30)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="slow-")))
        how = {"sections": times.sections(told.connections), "max_in_flight": 10_000}
        gateway = stack.enter_context(in_front_of(engines_in(folder), folder, **how))
        found = uvloop.run(siege(gateway, times, counts=counts, unread=told.unread, drip_seconds=2.0))
        gateway.wait_until_nothing_is_held()
        print(found)
        print(f"peak memory of the gateway {gateway.peak_bytes / 1e6:.0f} MB")
    assert not found.left(), found.left()
    assert len(found.unread) == told.unread, found.unread
    assert not found.late(times), found.late(times)[:5]
    assert set(found.honest) == {Got.COMPLETE}, found.honest


if __name__ == "__main__":
    main()
