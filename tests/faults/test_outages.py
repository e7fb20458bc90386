"""No engine left, a request that kills engines, a log that nobody reads (F24, F25, F50, F65)."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.asking import Asked, Got, ask, body
from tests.faults.processes import EngineProcess, GatewayProcess, in_front_of

Figure = Callable[[str, str], None]
PACE = ("--sim-tokens", "1000")
HERD = 300
TRIES = 30
SLACK_SECONDS = 10.0
POISON = "the-request-that-kills"
SUBMISSIONS = 30


@pytest.fixture
def engines(short_folder: Path) -> list[EngineProcess]:
    poison = {"faults": [{"kind": "die", "at": "arrival", "body_contains": POISON}]}
    name = f"out-{time.monotonic_ns()}"
    return [
        EngineProcess(short_folder, f"{name}-{number}", *PACE, "--sim-script", json.dumps(poison))
        for number in range(3)
    ]


@pytest.fixture
def gateway(engines: list[EngineProcess], tmp_path: Path) -> Iterator[GatewayProcess]:
    with in_front_of(engines, tmp_path) as running:
        yield running


async def one(gateway: GatewayProcess, number: int, *, text: str = "Count.") -> Asked:
    asked = Asked(number, body(tokens=4, stream=number % 2 == 0, text=text))
    await ask(gateway.address, asked)
    return asked


async def test_without_an_engine_all_are_refused_at_once_and_served_when_one_is_back(
    gateway: GatewayProcess, engines: list[EngineProcess], figure: Figure
) -> None:
    """A herd that asks again and again, as clients do, harms nobody: all of it is served in the end."""
    for engine in engines:
        engine.kill()
    took: list[float] = []
    for number in range(60):
        began = time.monotonic()
        refused = await one(gateway, number)
        took.append(time.monotonic() - began)
        answer = refused.answer()
        assert answer is not None
        assert answer.status in {502, 503}
        assert answer.header("x-should-retry") == "true"
        assert int(answer.header("retry-after") or 0) >= 1
    rng = random.Random(3)
    tries: Counter[int] = Counter()

    async def insist(number: int) -> None:
        """A client that obeys `retry-after`, but for a little less or more."""
        for count in range(TRIES):
            asked = await one(gateway, number)
            if asked.got() is Got.COMPLETE:
                tries[count] += 1
                return
            answer = asked.answer()
            assert answer is not None, asked
            assert answer.header("x-should-retry") == "true"
            await asyncio.sleep(min(2.0, float(answer.header("retry-after") or 1)) * rng.uniform(0.5, 1.0))
        raise AssertionError(f"refused {TRIES} times")

    async with asyncio.TaskGroup() as herd:
        for number in range(1000, 1000 + HERD):
            herd.create_task(insist(number))
        await asyncio.sleep(1)
        engines[0].start()
        await asyncio.to_thread(engines[0].wait_until_up)
        up_at = time.monotonic()
        number = 5000
        while (await one(gateway, number)).got() is not Got.COMPLETE:
            number += 1
            await asyncio.sleep(0.02)
        recovered = time.monotonic() - up_at
        assert recovered < 2 + SLACK_SECONDS
    served = time.monotonic() - up_at
    gateway.wait_until_nothing_is_held()
    p99 = sorted(took)[len(took) * 99 // 100]
    figure(
        "no engine left", f"refused within {p99 * 1000:.0f} ms (p99), served again after {recovered:.2f} s"
    )
    figure(f"herd of {HERD} clients", f"all served {served:.1f} s after an engine was back")


async def test_a_request_that_kills_engines_kills_two(
    gateway: GatewayProcess, engines: list[EngineProcess], figure: Figure
) -> None:
    deaths, refused = await poisoned(gateway, engines, figure, is_back_at_once=False)
    assert deaths <= 2
    assert refused <= deaths


async def poisoned(
    gateway: GatewayProcess, engines: list[EngineProcess], figure: Figure, *, is_back_at_once: bool
) -> tuple[int, int]:
    """Submit the same poison again and again, engines started again each time, and other requests between.

    Gives how many engines it killed, and how many of the others were refused: those who met two that were dead, and may
    ask again. Unless `is_back_at_once` an engine is away until somebody else was sent to it.
    """
    deaths = refused = 0
    codes: Counter[str] = Counter()
    for number in range(SUBMISSIONS):
        asked = await one(gateway, 2 * number, text=POISON)
        answer = asked.answer()
        assert answer is not None
        assert answer.status != 200
        codes[answer.json()["error"]["code"]] += 1
        if is_back_at_once:
            deaths += await bring_back(engines)
        for other in range(4):
            innocent = await one(gateway, 1000 + number, text=f"Count {other} to {number}.")
            if innocent.got() is not Got.COMPLETE:
                refused += 1
                told = innocent.answer()
                assert told is not None
                assert (told.status, told.header("x-should-retry")) == (502, "true")
        deaths += await bring_back(engines)
    await asyncio.to_thread(gateway.wait_until_nothing_is_held)
    figure(f"poison submitted {SUBMISSIONS} times", f"{deaths} engines killed; told {dict(codes)}")
    return deaths, refused


async def bring_back(engines: list[EngineProcess]) -> int:
    """Start those that are dead; how many they were."""
    dead = [engine for engine in engines if not engine.is_running]
    for engine in dead:
        engine.start()
        await asyncio.to_thread(engine.wait_until_up)
    return len(dead)


async def test_a_log_that_nobody_reads_holds_nothing_up(
    short_folder: Path, tmp_path: Path, figure: Figure
) -> None:
    """Its pipe is full after two hundred calls; lines are dropped, not calls."""
    pipe = tmp_path / "log"
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    before = ("sh", "-c", f'exec "$@" 2>{pipe}', "sh")
    engine = EngineProcess(short_folder, "unlogged", *PACE)
    try:
        with in_front_of([engine], tmp_path, before=before) as gateway:
            seconds = []
            for number in range(300):
                began = time.monotonic()
                assert (await one(gateway, number)).got() is Got.COMPLETE
                seconds.append(time.monotonic() - began)
            first, last = sorted(seconds[:100]), sorted(seconds[-100:])
            figure(
                "log pipe full", f"median call {last[50] * 1000:.1f} ms, with room {first[50] * 1000:.1f} ms"
            )
            assert gateway.metric("cascadia_requests_total") >= 0  # the admin address answers too
            gateway.signal(signal.SIGTERM)
            assert await asyncio.to_thread(gateway.wait) == 0
    finally:
        os.close(reading)
