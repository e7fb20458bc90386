"""One gateway under one scenario's load, from the first request to the last answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from config.paths import Paths as DataPaths
from config.schema import Config
from gateway import app
from gateway.core.call import Principal, Tier
from gateway.core.errors import Unauthenticated
from gateway.fleet.endpoint import Condition, Endpoint, Sighting, UnixAddress
from gateway.fleet.scraper import Scraper
from gateway.proxy.isolation import Isolation, Share
from gateway.proxy.proxy import SWEEP_EVERY
from gateway.transport.page import Page
from simulation.actors.aside import Later
from simulation.capacity.asked import Asked
from simulation.capacity.carrier import Carrier
from simulation.capacity.desk import Desk
from simulation.capacity.engine import Engine, Work
from simulation.capacity.prompts import Paths
from simulation.capacity.scenario import Engines, Workload
from simulation.capacity.source import Source
from simulation.capacity.texts import MODEL
from simulation.capacity.trace import TraceLine
from simulation.capacity.weighted import Weighted
from simulation.world.loop import START, VirtualLoop

MOST_STEPS = 500_000_000
GRACE_SECONDS = 1200.0
"""After the last arrival: longer than any call may take."""


@dataclass(frozen=True, slots=True)
class Load:
    """What comes: workloads with the rate of each that has one, and the requests of traces, by workload."""

    seed: int
    duration: float
    warmup: float
    workloads: tuple[Workload, ...]
    rates: Mapping[str, float]
    traces: Mapping[str, Sequence[TraceLine]]


@dataclass(frozen=True, slots=True)
class Worked:
    """What one engine did between the warm-up and the end of arrivals."""

    name: str
    work: Work
    gaps: Weighted


@dataclass(frozen=True, slots=True)
class Course:
    """What one run came to."""

    asked: Sequence[Asked]
    engines: Sequence[Worked]
    virtual_seconds: float
    complaints: Sequence[str]
    """What was raised and nobody caught: a bug, of the gateway or of the simulation."""


def run(load: Load, engines: Engines, config: Config) -> Course:
    """Let `load` come to a gateway of this configuration over these engines."""
    stage = _Stage(load, engines, config)
    try:
        return stage.run()
    finally:
        stage.loop.close()


class _Stage:
    def __init__(self, load: Load, engines: Engines, config: Config) -> None:
        self._load = load
        self.loop = loop = VirtualLoop(most_steps=MOST_STEPS)
        self._engines = {
            name: Engine(name, engines.measured, loop)
            for name in (f"engine-{i}" for i in range(engines.count))
        }
        self._desk = Desk(loop, tuple(_credential(workload) for workload in load.workloads))
        self._gateway = app.build(
            config,
            DataPaths(Path("nowhere")),
            on_end=self._desk.told,
            clock=loop.time,
            rng=Random(f"{load.seed}/gateway"),
            aside=Later(loop),
        )
        proxy = self._desk.proxy = self._gateway.proxy
        carrier = proxy.transport = Carrier(self._engines, loop, self._desk.asked)
        self._scraper = Scraper(
            self._gateway.catalog,
            Page(carrier),
            {"vllm": "/metrics"},
            clock=loop.time,
            rng=Random(f"{load.seed}/scraper"),
        )
        # The secret of the salts is a file's in the product.
        proxy.isolation = Isolation(Share(config.isolation.share_prefixes), lambda: bytes(32))
        proxy.authenticator = _Tenants(load.workloads)
        self._sources = [
            Source(
                number,
                workload,
                seed=load.seed,
                rate=load.rates.get(workload.name),
                trace=load.traces.get(workload.name, ()),
                ends=load.duration,
                paths=paths,
                desk=self._desk,
                loop=loop,
            )
            for paths in [Paths()]
            for number, workload in enumerate(load.workloads)
        ]
        self._before: Mapping[str, Worked] = {}
        self._gateway.catalog.publish(
            "scenario", [Sighting(_endpoint(name, engines), Condition.READY) for name in self._engines]
        )

    def run(self) -> Course:
        """From the first request to the last answer."""
        loop, load = self.loop, self._load
        loop.call_at(START + load.warmup, self._remember)
        for source in self._sources:
            loop.call_soon(source.start)
        loop.call_later(SWEEP_EVERY, self._sweep)
        loop.run(START + load.duration)
        engines = [_difference(self._before[name], now) for name, now in self._look().items()]
        ends = loop.time() + GRACE_SECONDS
        while self._desk.live and loop.time() < ends:
            loop.run(loop.time() + 1.0)
        return Course(
            tuple(self._desk.asked.values()), engines, loop.time() - START, tuple(self.loop.complaints)
        )

    def _sweep(self) -> None:
        """As the product does, without a look at this machine's memory."""
        self._gateway.sweep()
        self._scraper.sweep()
        self.loop.call_later(SWEEP_EVERY, self._sweep)

    def _remember(self) -> None:
        self._before = self._look()

    def _look(self) -> dict[str, Worked]:
        return {
            name: Worked(name, replace(engine.counted()), engine.gaps.copy())
            for name, engine in self._engines.items()
        }


class _Tenants:
    """The authenticator of a scenario: each workload has its credential."""

    def __init__(self, workloads: Sequence[Workload]) -> None:
        self._principals = {
            _credential(workload): Principal(
                tenant=workload.tenant,
                key_id=workload.name,
                highest_tier=Tier.PRIORITY,
                weight=workload.weight,
            )
            for workload in workloads
        }

    def authenticate(self, credential: bytes | None, address: str | None = None) -> Principal:  # noqa: ARG002 - nobody has one
        """See `Authenticator`."""
        principal = self._principals.get(credential or b"")
        if principal is None:
            raise Unauthenticated("The API key is missing or wrong.")
        return principal


def _credential(workload: Workload) -> bytes:
    return f"key-{workload.name}".encode()


def _endpoint(name: str, engines: Engines) -> Endpoint:
    return Endpoint(
        id=name,
        address=UnixAddress(f"/{name}"),
        engine="vllm",
        models=((MODEL, MODEL),),
        api_key=None,
        max_in_flight=engines.max_in_flight,
        idle_seconds=60.0,
    )


def _difference(before: Worked, after: Worked) -> Worked:
    earlier = vars(before.work)
    work = Work(**{name: value - earlier[name] for name, value in vars(after.work).items()})
    return Worked(after.name, work, after.gaps.without(before.gaps))
