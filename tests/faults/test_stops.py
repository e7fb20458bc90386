"""The gateway asked to stop, and killed, under load: nothing short is dropped, nothing broken looks whole (F43, F45)."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.faults.asking import Asked, Got, begin, body, finish
from tests.faults.processes import EngineProcess, GatewayProcess, in_front_of
from tests.support.gateway import until
from tests.support.product import until as wait_until

Figure = Callable[[str, str], None]
PACE = ("--sim-ttft-ms", "20", "--sim-itl-ms", "30", "--sim-tokens", "100000", "--max-model-len", "200000")
CLIENTS = 40
LONG = 100_000
"""Tokens of an answer that does not end by itself."""


@pytest.fixture
def engine(short_folder: Path, request: pytest.FixtureRequest) -> EngineProcess:
    return EngineProcess(short_folder, f"stop-{time.monotonic_ns()}", *PACE)


@pytest.fixture
def gateway(engine: EngineProcess, tmp_path: Path) -> Iterator[GatewayProcess]:
    with in_front_of([engine], tmp_path, sections={"server": SERVER}) as running:
        yield running


SERVER = {"listen": "127.0.0.1:0", "admin_listen": "127.0.0.1:0", "drain_seconds": 30.0}


async def begun(gateway: GatewayProcess, count: int, *, tokens: int) -> list[Asked]:
    """So many requests on their way, streams and plain ones in turn."""
    asked = [Asked(number, body(tokens=tokens, stream=number % 2 == 0)) for number in range(count)]
    for each in asked:
        await begin(gateway.address, each)
    return asked


async def ended(asked: Sequence[Asked]) -> Counter[Got]:
    """Wait for the end of each; how they ended."""
    await asyncio.gather(*map(finish, asked))
    return Counter(each.got() for each in asked)


def at_work(engine: EngineProcess) -> int:
    """How many requests the engine works on."""
    return sum(record["end"] == "open" for record in engine.journal())


async def all_at_work(engine: EngineProcess, asked: Sequence[Asked]) -> None:
    """Wait until the engine works on all of them, and the streams have content."""
    await until(lambda: all(each.content_at is not None for each in asked if each.is_stream), deadline=30)
    await at_work_becomes(engine, len(asked))


async def at_work_becomes(engine: EngineProcess, count: int) -> None:
    """Wait until the engine works on so many."""
    await asyncio.to_thread(
        wait_until, lambda: at_work(engine) == count, seconds=30, what=lambda: f"at work: {at_work(engine)}"
    )


async def test_sigterm_drops_nothing_that_is_shorter_than_the_grace(
    gateway: GatewayProcess, engine: EngineProcess, figure: Figure
) -> None:
    """What runs is finished. What comes later is told to go elsewhere, or finds nobody; it is never cut."""
    before = await begun(gateway, CLIENTS, tokens=60)
    await all_at_work(engine, before)
    gateway.signal(signal.SIGTERM)
    told_at = time.monotonic()
    after: list[Asked] = []
    while gateway.is_running and time.monotonic() - told_at < 30:
        later = await begun(gateway, 2, tokens=1)
        await ended(later)
        after += later
        await asyncio.sleep(0.02)
    assert await ended(before) == {Got.COMPLETE: CLIENTS}
    got = await ended(after)
    # The first ones may have come before the signal was looked at; the last ones when nobody listened any more.
    assert set(got) <= {Got.COMPLETE, Got.REFUSED, Got.RESET}
    assert got[Got.REFUSED] > 0
    for one in after:
        answer = one.answer()
        if one.got() is Got.REFUSED:
            assert answer is not None
            assert (answer.status, answer.json()["error"]["code"]) == (503, "shutting_down")
            assert answer.header("connection") == "close"
            assert answer.header("x-should-retry") == "true"
        elif one.got() is Got.RESET:
            assert not one.raw
    assert gateway.wait() == 0
    figure("SIGTERM under load", f"{CLIENTS} running: 0 dropped; {len(after)} that came later: {dict(got)}")


async def test_readiness_ends_with_sigterm_and_liveness_does_not(
    gateway: GatewayProcess, engine: EngineProcess
) -> None:
    running = await begun(gateway, 2, tokens=60)
    await all_at_work(engine, running)
    gateway.signal(signal.SIGTERM)
    ready = await asyncio.to_thread(gateway.admin, "/readyz")
    live = await asyncio.to_thread(gateway.admin, "/livez")
    assert (ready.status_code, ready.json()["reason"]) == (503, "draining")
    assert live.status_code == 200
    assert await ended(running) == {Got.COMPLETE: 2}


async def test_a_second_sigterm_ends_all_at_once_and_says_so(
    gateway: GatewayProcess, engine: EngineProcess, figure: Figure
) -> None:
    running = await begun(gateway, CLIENTS, tokens=LONG)
    await all_at_work(engine, running)
    gateway.signal(signal.SIGTERM)
    await asyncio.sleep(0.1)  # two signals at once count as one
    gateway.signal(signal.SIGTERM)
    began = time.monotonic()
    got = await ended(running)
    figure("second SIGTERM → all clients told", f"{time.monotonic() - began:.2f} s")
    assert got == {Got.INTERRUPTED: CLIENTS // 2, Got.REFUSED: CLIENTS // 2}
    assert await asyncio.to_thread(gateway.wait) == 0
    await at_work_becomes(engine, 0)


async def test_sigkill_is_a_broken_connection_to_clients_and_an_abort_to_engines(
    gateway: GatewayProcess, engine: EngineProcess, figure: Figure
) -> None:
    running = await begun(gateway, CLIENTS, tokens=LONG)
    await all_at_work(engine, running)
    killed_at = asyncio.get_running_loop().time()
    gateway.kill()
    assert await ended(running) == {Got.RESET: CLIENTS}
    for each in running:
        assert b"[DONE]" not in each.raw
    await at_work_becomes(engine, 0)
    records = engine.journal()
    assert {record["end"] for record in records} == {"aborted"}
    slowest = max(record["ended_at"] for record in records) - killed_at
    figure("gateway killed → all engines' work aborted", f"{slowest * 1000:.0f} ms")
    # What it held dies with it: the next one on its folder serves at once.
    gateway.start()
    await asyncio.to_thread(gateway.wait_until_ready)
    assert await ended(await begun(gateway, 4, tokens=2)) == {Got.COMPLETE: 4}


async def test_a_request_that_is_just_being_sent_is_told_of_the_stop(
    gateway: GatewayProcess, engine: EngineProcess
) -> None:
    reader, writer = await asyncio.open_connection(*gateway.address)
    writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n")
    await writer.drain()
    running = await begun(gateway, 1, tokens=60)
    await all_at_work(engine, running)  # so that the half request has been read too
    gateway.signal(signal.SIGTERM)
    answer = await asyncio.wait_for(reader.read(), 30)
    writer.close()
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b'"code":"shutting_down"' in answer
    assert b"x-should-retry: true" in answer
    await ended(running)
