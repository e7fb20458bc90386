"""The real gateway as a process of the simulation: everything but its sockets, its clock and its randomness.

`gateway.app` builds it and gives the background work, uvicorn's own shutdown ends it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from config.paths import Paths
from config.schema import Config
from gateway import app
from gateway.core.outcome import End
from gateway.fleet.endpoint import Condition, Endpoint, Sighting
from gateway.proxy.edge import edge_protocol
from gateway.proxy.guarded import guarded_protocol
from gateway.proxy.isolation import Isolation, Share
from gateway.proxy.proxy import SWEEP_EVERY
from simulation.actors.aside import Later
from simulation.actors.client import GATEWAY
from simulation.schedule.values import Settings

if TYPE_CHECKING:
    from random import Random

    from simulation.world.loop import VirtualLoop
    from simulation.world.network import Network
    from simulation.world.socket import Socket

SOURCE = "simulation"
_ROUTES: Mapping[str, Mapping[str, Any]] = {
    "none": {},
    "fallback": {"alpha": {"fallbacks": ["beta"], "fall_back_on_context_length": True}},
    "split": {"alpha": {"split": {"alpha": 3, "beta": 1}}, "beta": {"fallbacks": ["alpha"]}},
}
BODY_SECONDS = 8.0
"""How long a client may take to send a body."""
IDLE_SECONDS = 5.0
"""How long a client's connection is kept between two requests."""


class GatewayProcess:
    """One process of the gateway, listening on `GATEWAY`."""

    def __init__(
        self,
        settings: Settings,
        loop: VirtualLoop,
        network: Network,
        rng: Random,
        on_end: Callable[[End], None],
    ) -> None:
        self._loop = loop
        self._network = network
        self.parts = app.build(
            configuration(settings),
            Paths(Path("nowhere")),
            on_end=on_end,
            clock=loop.time,
            rng=rng,
            aside=Later(loop),
        )
        parts = self.parts
        # The secret of the salts is a file's in the product: the same one in every process here, and nothing on disk.
        parts.proxy.isolation = Isolation(Share(parts.config.isolation.share_prefixes), lambda: bytes(32))
        protocol = (
            edge_protocol(parts.proxy, parts.guard)
            if settings.driver == "edge"
            else guarded_protocol(parts.guard)
        )
        self._server = app.server_of(parts.app, protocol)
        self._server.config.load()
        self._server.lifespan = self._server.config.lifespan_class(self._server.config)
        self._server.servers = []
        state: Any = self._server.server_state
        state.connections, state.tasks = InOrder(), InOrder()
        self._drain = settings.drain_delay, settings.drain
        self._stop = app.Stop()
        self.sockets: dict[Socket, None] = {}
        """Its ends of its clients' connections, those that were closed too."""
        self._tasks = [
            loop.create_task(self._sweep()),
            loop.create_task(self._live()),
        ]
        self.is_draining = False
        network.listen(GATEWAY, self._accept)

    @property
    def connections(self) -> int:
        """Client connections that it still has."""
        return len(self._server.server_state.connections)

    @property
    def has_ended(self) -> bool:
        """Whether the process would be gone."""
        return all(task.done() for task in self._tasks)

    def publish(self, sightings: Iterable[tuple[Endpoint, Condition]]) -> None:
        """What discovery sees now."""
        self.parts.catalog.publish(
            SOURCE, [Sighting(endpoint, condition) for endpoint, condition in sightings]
        )

    def drain(self) -> None:
        """SIGTERM."""
        self.is_draining = True
        self._stop.asked.set()

    def fill(self) -> None:
        """Its memory is full, as its sweep would find."""
        self._say_full(True)

    def make_room(self) -> None:
        """It is not any more."""
        self._say_full(False)

    def hurry(self) -> None:
        """SIGTERM again."""
        self._stop.at_once.set()

    def _accept(self, socket: Socket) -> asyncio.BaseProtocol:
        server = self._server
        self.sockets[socket] = None
        protocol: Any = server.config.http_protocol_class
        made: asyncio.BaseProtocol = protocol(server.config, server.server_state, {}, self._loop)
        return made

    def _say_full(self, is_so: bool) -> None:
        self.parts.guard.is_pressed = self.parts.proxy.is_full = is_so

    async def _sweep(self) -> None:
        """As the product does, without a look at this machine's memory."""
        while True:
            await asyncio.sleep(SWEEP_EVERY)
            self.parts.sweep()

    async def _live(self) -> None:
        """Serve until told to stop, then end as the product does."""
        parts, server = self.parts, self._server
        await app.until_drained(parts.proxy, self._drain[1], self._stop, delay=self._drain[0])
        self._network.refuse(GATEWAY)
        await server.shutdown()
        self._tasks[0].cancel()
        await parts.transport.close()
        for socket in self.sockets:
            socket.abort()  # the process exits, the kernel closes what it had open


class InOrder(dict[Any, None]):
    """Stands for uvicorn's sets of connections and tasks: gone through in the order of joining, in every process."""

    def add(self, item: object) -> None:
        """See `set`."""
        self[item] = None

    def discard(self, item: object) -> None:
        """See `set`."""
        self.pop(item, None)


def configuration(settings: Settings) -> Config:
    """The configuration that a person would have written for these settings."""
    return Config.model_validate(
        {
            "auth": {"mode": "anonymous"},
            "models": _ROUTES[settings.route],
            "server": {"max_body_bytes": settings.max_body_bytes, "drain_seconds": settings.drain},
            "timeouts": {
                "body": BODY_SECONDS,
                "idle": IDLE_SECONDS,
                "connect": settings.connect,
                "queue": settings.queue,
                "first_token": settings.first_token,
                "stall": settings.stall,
                "total": settings.total,
            },
            "admission": {
                "max_queue": settings.max_queue,
                "policy": settings.policy,
                "ordering": settings.ordering,
                "limit": settings.limit,
                "when_empty": settings.when_empty,
            },
        }
    )
