"""Clients that leave, in each phase: engines stop working for them at once, or were never asked (F55-F57, G10)."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.asking import Asked, begin, body
from tests.faults.processes import EngineProcess, GatewayProcess, in_front_of
from tests.support.gateway import until
from tests.support.product import until as wait_until

Figure = Callable[[str, str], None]
CLIENTS = 40
ROOM = 40
"""What the engine is given at once; more waits in the gateway."""
PACE = ("--sim-itl-ms", "10", "--sim-tokens", "100000", "--max-model-len", "200000")


@pytest.fixture
def engine(short_folder: Path, tmp_path: Path) -> EngineProcess:
    return EngineProcess(short_folder, f"left-{tmp_path.name}"[:40], *PACE)


@pytest.fixture
def gateway(engine: EngineProcess, tmp_path: Path) -> Iterator[GatewayProcess]:
    with in_front_of([engine], tmp_path, max_in_flight=ROOM) as running:
        yield running


async def begun(gateway: GatewayProcess, numbers: range, *, stream: bool) -> list[Asked]:
    asked = [Asked(number, body(tokens=100_000, stream=stream)) for number in numbers]
    for each in asked:
        await begin(gateway.address, each)
    return asked


async def at_work_becomes(engine: EngineProcess, count: int) -> None:
    await asyncio.to_thread(
        wait_until,
        lambda: sum(record["end"] == "open" for record in engine.journal()) == count,
        seconds=30,
        what=lambda: f"at work: {[record['end'] for record in engine.journal()]}",
    )


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "plain"])
async def test_an_engine_stops_when_its_client_leaves(
    gateway: GatewayProcess, engine: EngineProcess, figure: Figure, stream: bool
) -> None:
    asked = await begun(gateway, range(CLIENTS), stream=stream)
    await at_work_becomes(engine, CLIENTS)
    if stream:
        await until(lambda: all(b'"content":"' in each.raw for each in asked), deadline=30)
    left: dict[str, float] = {}
    for each in random.Random(5).sample(asked, CLIENTS):
        left[str(each.number)] = asyncio.get_running_loop().time()
        each.transport.abort()
        await asyncio.sleep(0.01)
    await at_work_becomes(engine, 0)
    records = await asyncio.to_thread(engine.journal)
    assert {record["end"] for record in records} == {"aborted"}
    took = sorted(record["ended_at"] - left[record["request_id"].split("-")[1]] for record in records)
    figure(
        f"client left → engine's work aborted, {'stream' if stream else 'plain'}",
        f"median {took[len(took) // 2] * 1000:.0f} ms, most {took[-1] * 1000:.0f} ms",
    )
    await asyncio.to_thread(gateway.wait_until_nothing_is_held)
    [replica] = await asyncio.to_thread(gateway.replicas)
    assert not replica["ejected"]  # it did nothing wrong


async def test_who_leaves_the_queue_was_never_there_for_an_engine(
    gateway: GatewayProcess, engine: EngineProcess
) -> None:
    running = await begun(gateway, range(ROOM), stream=True)
    await at_work_becomes(engine, ROOM)
    waiting = await begun(gateway, range(1000, 1000 + CLIENTS), stream=False)
    model = 'cascadia_queue_waiting{model="model",tier="default"}'
    await asyncio.to_thread(
        wait_until,
        lambda: gateway.metric(model) == CLIENTS,
        seconds=30,
        what=lambda: str(gateway.metric(model)),
    )
    for each in waiting:
        each.transport.abort()
    await asyncio.to_thread(
        wait_until, lambda: gateway.metric(model) == 0, seconds=30, what=lambda: str(gateway.metric(model))
    )
    for each in running:
        each.transport.abort()
    await asyncio.to_thread(gateway.wait_until_nothing_is_held)
    numbers = [int(record["request_id"].split("-")[1]) for record in await asyncio.to_thread(engine.journal)]
    assert sorted(numbers) == list(range(ROOM))
