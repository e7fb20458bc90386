"""One suite over every place where counts may be kept."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager

import pytest

from gateway.ratelimit.base import Counters, Pending, Refused, Rule, Taken, Unavailable
from gateway.ratelimit.memory import MemoryCounters
from tests.support import valkey
from tests.support.clock import Clock

NOON = 1_795_521_600.0
"""2026-11-24T12:00:00Z, the wall clock of a suite that begins."""
ANSWER_SECONDS = 5.0


class Waiting:
    """A taker that keeps what it is told, and insists on being told once."""

    def __init__(self) -> None:
        self.told: asyncio.Future[Taken | Refused | Unavailable] = asyncio.get_running_loop().create_future()

    def taken(self, taken: Taken) -> None:
        self.told.set_result(taken)

    def refused(self, refused: Refused | Unavailable) -> None:
        self.told.set_result(refused)


class Bench:
    """Counters and the time that they live in."""

    def __init__(self, counters: Counters, clock: Clock) -> None:
        self.counters = counters
        self.clock = clock

    async def ask(self, *wants: tuple[Rule, int]) -> Taken | Refused | Unavailable:
        """The answer to one taking, at once or later."""
        waiting = Waiting()
        answer = self.counters.take([rule for rule, _ in wants], [amount for _, amount in wants], waiting)
        if not isinstance(answer, Pending):
            return answer
        async with asyncio.timeout(ANSWER_SECONDS):
            return await waiting.told

    async def take(self, *wants: tuple[Rule, int]) -> Taken:
        answer = await self.ask(*wants)
        assert isinstance(answer, Taken), answer
        return answer

    async def refuse(self, *wants: tuple[Rule, int]) -> Refused:
        answer = await self.ask(*wants)
        assert isinstance(answer, Refused), answer
        return answer

    async def settle(self, taken: Taken, *used: int) -> None:
        taken.settle(used)
        await asyncio.sleep(0)

    async def room(self, rule: Rule) -> int:
        """What a rule has left."""
        taken = await self.take((rule, 0))
        await self.settle(taken, 0)
        return taken.left[0]

    async def count(self, rule: Rule, amounts: Sequence[int]) -> int:
        """Of takings one after another, how many were let in."""
        return sum([isinstance(await self.ask((rule, amount)), Taken) for amount in amounts])


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[valkey.Server]:
    with valkey.server() as server:
        yield server


Server = Callable[[], valkey.Server]
"""Starts it, for those who count there."""


@contextlib.asynccontextmanager
async def memory(clock: Clock, _: Server) -> AsyncIterator[Counters]:
    yield MemoryCounters(clock=clock, wall=lambda: NOON + clock.now - 1000.0)


@contextlib.asynccontextmanager
async def shared(clock: Clock, server: Server) -> AsyncIterator[Counters]:
    running = server()
    with running.client() as client:
        client.flushall()
    wall = lambda: NOON + clock.now - 1000.0  # noqa: E731 - one line, used once
    async with valkey.shared(running.path, clock=clock, wall=wall) as counters:
        yield counters


IMPLEMENTATIONS: dict[str, Callable[[Clock, Server], AbstractAsyncContextManager[Counters]]] = {
    "memory": memory,
    "valkey": shared,
}


@pytest.fixture(params=list(IMPLEMENTATIONS))
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    clock = Clock()

    def server() -> valkey.Server:
        return request.getfixturevalue("valkey_server")

    async with IMPLEMENTATIONS[request.param](clock, server) as counters:
        yield Bench(counters, clock)
