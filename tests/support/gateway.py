"""A gateway in a test's own event loop: the real `app.build`, either driver, time that stands still."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

from uvicorn.server import ServerState

from config.paths import Paths
from config.schema import Config
from gateway import app
from gateway.core.outcome import End
from gateway.fleet.endpoint import Condition, Endpoint, Sighting, parse_address
from gateway.fleet.replica import Replica
from gateway.ledger.ledger import Sink
from gateway.proxy.edge import edge_protocol
from gateway.proxy.guarded import guarded_protocol
from tests.support.clock import Clock
from tests.support.peer import DEADLINE_SECONDS, Peer

SOURCE = "test"
MODEL = "model"
"""The public name under which tests serve an engine."""


class Driver(Enum):
    """Who owns the client's sockets."""

    EDGE = "edge"
    ASGI = "asgi"


async def until(holds: Callable[[], object], *, deadline: float = DEADLINE_SECONDS) -> None:
    """Wait until `holds()`. Raises `AssertionError` when it does not within `deadline` seconds."""
    loop = asyncio.get_running_loop()
    end = loop.time() + deadline
    while not holds():
        assert loop.time() < end, f"not within {deadline} s"
        await asyncio.sleep(0.001)


def endpoint(
    address: str,
    *,
    id: str = "engine-0",  # noqa: A002 - the field's own name
    models: Mapping[str, str] | None = None,
    api_key: str | None = None,
    max_in_flight: int = 8,
    idle_seconds: float = 4.0,
) -> Endpoint:
    """An engine at `address` that serves `MODEL` under its own name `simulated`."""
    return Endpoint(
        id=id,
        address=parse_address(address),
        engine="vllm",
        models=tuple((models or {MODEL: "simulated"}).items()),
        api_key=api_key,
        max_in_flight=max_in_flight,
        idle_seconds=idle_seconds,
    )


class RunningGateway:
    """A gateway that listens. `clock` is all the time that its timeouts know; `ends` is what it told of its calls."""

    def __init__(self, parts: app.Gateway, driver: Driver, clock: Clock, ends: list[End]) -> None:
        self.parts = parts
        self.proxy = parts.proxy
        self.driver = driver
        self.clock = clock
        self.ends = ends
        self.address: tuple[str, int] = ("", 0)
        self.peers: list[Peer] = []
        self.connections: set[Any] = set()

    async def connect(self, *, receive_bytes: int | None = None) -> Peer:
        """A new client connection, closed with the gateway."""
        peer = await Peer.connect(self.address, receive_bytes=receive_bytes)
        self.peers.append(peer)
        return peer

    def publish(self, *endpoints: Endpoint, condition: Condition = Condition.READY) -> None:
        """Say which engines there are."""
        self.parts.catalog.publish(SOURCE, [Sighting(each, condition) for each in endpoints])

    def replica(self, id_: str = "engine-0") -> Replica:
        return next(each for each in self.parts.catalog.replicas() if each.endpoint.id == id_)

    def advance(self, seconds: float) -> None:
        """Let time pass, and let the gateway look at it."""
        self.clock.advance(seconds)
        self.parts.sweep()

    def waiting(self, model: str = MODEL) -> int:
        return self.parts.admission.waiting(model)

    async def settled(self) -> None:
        """Wait until no call is live, then insist that nothing is held for one."""
        await until(lambda: self.proxy.live == 0)
        assert [replica.in_flight for replica in self.parts.catalog.replicas() if replica.in_flight] == []
        assert [pool.model for pool in self.parts.catalog.pools() if self.waiting(pool.model)] == []


@contextlib.asynccontextmanager
async def running(
    config: Config, folder: Path, driver: Driver, *endpoints: Endpoint, sink: Sink | None = None
) -> AsyncIterator[RunningGateway]:
    """Run the gateway of `config` in front of `endpoints`, on a port of 127.0.0.1. `sink` takes its records."""
    ends: list[End] = []
    clock = Clock()
    parts = app.build(config, Paths(folder), on_end=ends.append, clock=clock, sink=sink)
    gateway = RunningGateway(parts, driver, clock, ends)
    gateway.publish(*endpoints)
    protocol = (
        edge_protocol(parts.proxy, parts.guard) if driver is Driver.EDGE else guarded_protocol(parts.guard)
    )
    settings = app.server_of(parts.app, protocol).config
    settings.load()
    state = ServerState()
    gateway.connections = state.connections
    loop = asyncio.get_running_loop()

    def accept() -> asyncio.Protocol:
        made: asyncio.Protocol = settings.http_protocol_class(settings, state, {}, loop)  # type: ignore[call-arg]
        return made

    server = await loop.create_server(accept, "127.0.0.1", 0)
    gateway.address = server.sockets[0].getsockname()
    try:
        yield gateway
    finally:
        server.close()
        for peer in gateway.peers:
            peer.close()
        for connection in list(state.connections):
            if connection.transport is not None:
                connection.transport.abort()
        await until(lambda: not state.connections and not state.tasks)
        await parts.transport.close()
        await server.wait_closed()
