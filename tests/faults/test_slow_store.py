"""A server for counts that answers late is done without, and taken back only when it is quick again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from prometheus_client import CollectorRegistry

from gateway.observe.counting import SharedMetrics
from gateway.ratelimit.base import Pending, Rule, Taken, Unit
from gateway.ratelimit.shared.counters import SharedCounters
from gateway.ratelimit.shared.wire import Patience
from tests.faults.proxy import FaultProxy
from tests.faults.toxics import Latency
from tests.support import valkey

MINUTE = Rule("key:a|requests|60", Unit.REQUESTS, 1000, 60.0)
SLOW = Patience(connect=5.0, answer=5.0, slow=0.1)
"""Five times as patient as usual: the machine that tests run on may be busy."""
LATE = 0.25
STILL_LATE = 0.075
"""Quick enough to be kept, and not to be taken back."""


class Waiting:
    def __init__(self) -> None:
        self.told: asyncio.Future = asyncio.get_running_loop().create_future()

    def taken(self, taken: object) -> None:
        self.told.set_result(taken)

    refused = taken


async def ask(counters: SharedCounters) -> object:
    waiting = Waiting()
    answer = counters.take([MINUTE], [0], waiting)
    return await waiting.told if isinstance(answer, Pending) else answer


@contextlib.asynccontextmanager
async def behind(folder: Path) -> AsyncIterator[tuple[FaultProxy, SharedCounters]]:
    with valkey.server() as server:
        async with (
            FaultProxy(server.path).serve(folder / "slow.sock") as proxy,
            valkey.shared(folder / "slow.sock", patience=SLOW) as counters,
        ):
            yield proxy, counters


def is_up(counters: SharedCounters) -> bool:
    return counters.state().is_up


async def slow_down(proxy: FaultProxy, counters: SharedCounters) -> None:
    proxy.add("late", Latency(LATE))
    async with asyncio.timeout(30):
        while is_up(counters):
            assert isinstance(await ask(counters), Taken)


def up(registry: CollectorRegistry) -> float | None:
    return registry.get_sample_value("cascadia_limit_store_up")


async def test_who_waits_for_a_slow_server_is_answered_and_the_others_do_not_wait(tmp_path) -> None:
    async with behind(tmp_path) as (proxy, counters):
        registry = CollectorRegistry()
        registry.register(SharedMetrics(counters.state))
        assert up(registry) == 1
        await slow_down(proxy, counters)
        assert up(registry) == 0
        assert "slow" in (counters.state().trouble or "")
        answers = [counters.take([MINUTE], [1], Waiting()) for _ in range(50)]
        assert {type(each) for each in answers} == {Taken}


async def test_it_is_taken_back_once_it_is_quick_and_no_sooner(tmp_path) -> None:
    async with behind(tmp_path) as (proxy, counters):
        await slow_down(proxy, counters)
        proxy.remove("late")
        proxy.add("late", Latency(STILL_LATE))
        seen = proxy.accepted
        await valkey.until(lambda: proxy.accepted >= seen + 3, 30.0)  # it was tried, and given up again
        assert not is_up(counters)
        proxy.clear()
        await valkey.until(lambda: is_up(counters), 30.0)
        assert counters.state().trouble is None
        proxy.add("late", Latency(STILL_LATE))
        for _ in range(5):
            assert isinstance(await ask(counters), Taken)
        assert is_up(counters)
