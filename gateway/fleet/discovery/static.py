"""Discovery of servers that the configuration names: asked again and again whether they answer and what they serve.

A server that answers but is not what it was - the same name for other weights, or with another context length - gets no
work: callers would not know. One that does not answer, but whose tokens flow, is busy and nothing else.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from gateway.fleet.discovery.base import Publish
from gateway.fleet.endpoint import Address, Condition, Endpoint, Published, Sighting
from gateway.fleet.health import Card, ProbeError, list_cards, open_client

PROBE_EVERY_UP = 5.0
PROBE_EVERY_DOWN = 0.5
TOLERATED_FAILURES = 2
"""Failed probes in a row before a server that answered is taken out: a busy one may miss one."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Server:
    """A server as configured. `models` maps public names to its own; empty: all that it lists, under its own names."""

    id: str
    address: Address
    engine: str
    models_path: str
    idle_seconds: float
    max_in_flight: int
    api_key: str | None = None
    models: Mapping[str, str] = field(default_factory=dict)
    published: Published | None = None


Probe = Callable[[Server], Awaitable[tuple[Card, ...]]]
"""Ask a server for its models. Raises `ProbeError`."""


class StaticDiscovery:
    """Follows a fixed list of servers."""

    name = "upstreams"

    def __init__(
        self,
        servers: Sequence[Server],
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        probe: Probe | None = None,
        is_flowing: Callable[[str], bool] = lambda _: False,
    ) -> None:
        """`is_flowing` says of a server's id whether something of an answer came from it a moment ago."""
        self._servers = servers
        self._sleep = sleep
        self._probe = probe
        self._is_flowing = is_flowing
        self._cards: dict[str, dict[str, Card]] = {}
        self._sightings: dict[str, Sighting] = {}

    async def watch(self, publish: Publish) -> None:
        """Publish the configured servers, then what probing them shows. Never returns."""
        for server in self._servers:
            if server.models:
                self._see(server, tuple(server.models.items()), Condition.STARTING)
        publish(list(self._sightings.values()))
        async with asyncio.TaskGroup() as group:
            for server in self._servers:
                group.create_task(self._follow(server, publish), name=f"probe {server.id}")

    async def _follow(self, server: Server, publish: Publish) -> None:
        if self._probe is not None:
            await self._probe_for_ever(server, publish, self._probe)
            return
        async with open_client(server.address) as client:
            await self._probe_for_ever(
                server, publish, lambda s: list_cards(client, s.models_path, s.api_key)
            )

    async def _probe_for_ever(self, server: Server, publish: Publish, probe: Probe) -> None:
        failures = 0
        while True:
            try:
                listed = await probe(server)
            except ProbeError as error:
                failures += 1
                self._failed(server, failures, str(error), publish)
            else:
                failures = 0
                self._answered(server, listed, publish)
            await self._sleep(PROBE_EVERY_DOWN if failures else PROBE_EVERY_UP)

    def _answered(self, server: Server, listed: tuple[Card, ...], publish: Publish) -> None:
        models = _served(server, [card.id for card in listed])
        if self._is_another(server, {own for _, own in models}, listed, publish):
            return
        missing = sorted(set(server.models) - {public for public, _ in models})
        before = self._sightings.get(server.id)
        known = before.endpoint.models if before else tuple(server.models.items())
        if self._see(server, models or known, Condition.READY if models else Condition.DOWN):
            names = [public for public, _ in models]
            log.info("upstream answers", extra={"upstream": server.id, "models": names, "missing": missing})
            publish(list(self._sightings.values()))
        elif before is None:
            log.warning("upstream lists no model", extra={"upstream": server.id})

    def _is_another(
        self, server: Server, served: Collection[str], listed: Sequence[Card], publish: Publish
    ) -> bool:
        """Whether the server is not what it was when it was first seen. Tells of it once."""
        known = self._cards.setdefault(server.id, {})
        cards = [card for card in listed if card.id in served]
        other = [card for card in cards if card.is_other_than(known.setdefault(card.id, card))]
        before = self._sightings.get(server.id)
        if not other or before is None:
            return False
        if self._see(server, before.endpoint.models, Condition.DOWN, is_another=True):
            for card in other:
                log.error(
                    "upstream is not what it was, and kept out until it is or the gateway restarts",
                    extra={"upstream": server.id, "was": str(known[card.id]), "is": str(card)},
                )
            publish(list(self._sightings.values()))
        return True

    def _failed(self, server: Server, failures: int, why: str, publish: Publish) -> None:
        before = self._sightings.get(server.id)
        if before is None:
            if failures == 1:
                log.warning("upstream does not answer", extra={"upstream": server.id, "error": why})
            return
        is_tolerated = failures < TOLERATED_FAILURES or self._is_flowing(server.id)
        if before.condition is Condition.READY and is_tolerated:
            return
        if self._see(server, before.endpoint.models, Condition.DOWN):
            log.warning("upstream does not answer", extra={"upstream": server.id, "error": why})
            publish(list(self._sightings.values()))

    def _see(
        self,
        server: Server,
        models: tuple[tuple[str, str], ...],
        condition: Condition,
        *,
        is_another: bool = False,
    ) -> bool:
        """Note what is known of a server now. Whether that is news."""
        if not models:
            return False
        endpoint = Endpoint(
            id=server.id,
            address=server.address,
            engine=server.engine,
            models=models,
            api_key=server.api_key,
            max_in_flight=server.max_in_flight,
            idle_seconds=server.idle_seconds,
            published=server.published,
        )
        sighting = Sighting(endpoint, condition, is_another=is_another)
        news = self._sightings.get(server.id) != sighting
        self._sightings[server.id] = sighting
        return news


def _served(server: Server, listed: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Pairs of public and own name: the configured ones that the server lists, or all that it lists."""
    if not server.models:
        return tuple((name, name) for name in listed)
    return tuple((public, own) for public, own in server.models.items() if own in listed)
