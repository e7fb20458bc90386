"""One suite over both drivers, on the event loop that the gateway runs on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest
import uvloop

from config.schema import Config
from engines.simulated import Options, SimulatedEngine
from tests.support.gateway import Driver, RunningGateway, endpoint, running

CREATED = 1_700_000_000


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(params=list(Driver), ids=lambda driver: driver.value)
def driver(request: pytest.FixtureRequest) -> Driver:
    chosen: Driver = request.param
    return chosen


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[SimulatedEngine]:
    """An engine on a unix socket."""
    async with SimulatedEngine(Options(fixed_created=CREATED)).serve(
        uds=tmp_path / "engine.sock"
    ) as running_:
        yield running_


@pytest.fixture
async def tcp_engine() -> AsyncIterator[SimulatedEngine]:
    """An engine on a TCP port: the only kind of connection that can be reset."""
    async with SimulatedEngine(Options(fixed_created=CREATED)).serve() as running_:
        yield running_


@pytest.fixture
def config() -> Config:
    """Without salts of ours: what an engine gets is then what the client sent. `test_isolated` is about the salts."""
    return Config.model_validate({"auth": {"mode": "anonymous"}, "isolation": {"share_prefixes": "all"}})


@pytest.fixture
async def gateway(
    driver: Driver, engine: SimulatedEngine, config: Config, tmp_path: Path
) -> AsyncIterator[RunningGateway]:
    """A gateway for everybody in front of `engine`."""
    async with running(config, tmp_path / "data", driver, endpoint(engine.address)) as running_:
        yield running_
