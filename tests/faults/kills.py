"""Engines killed again and again under many requests: what clients were told, and what engines were asked (F1-F4, G7).

    python -m tests.faults.kills --kills 200

A kill comes only once everybody whom the last one hit has content, or an answer: two engines that die under the same
request within milliseconds are another case, in which it may be refused (at most two dispatches). And it leaves an
engine that the gateway does not leave out for having failed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

from tests.faults.asking import Asked, Got, ask, body
from tests.faults.processes import EngineProcess, GatewayProcess, in_front_of
from tests.support.gateway import until
from tests.support.product import until as wait_until

ENGINES = 4
PACE = ("--sim-ttft-ms", "30", "--sim-itl-ms", "40", "--sim-tokens", "1000")
STREAM_TOKENS = 24
PLAIN_TOKENS = 4
PLAIN_SHARE = 0.25


@dataclass
class Storm:
    """What came of it."""

    kills: int = 0
    asked: list[Asked] = field(default_factory=list)
    dispatches: Counter[str] = field(default_factory=Counter)
    """Request → how often engines were sent it, by their own journals, each read in the moment before its engine died."""
    seconds_to_tell: list[float] = field(default_factory=list)
    """From a kill to the end of each stream that it interrupted."""

    def got(self) -> Counter[Got]:
        return Counter(asked.got() for asked in self.asked)

    def lost(self) -> list[Asked]:
        """Those who got neither an answer nor, behind content, the word that it is cut."""
        return [asked for asked in self.asked if asked.got() not in {Got.COMPLETE, Got.INTERRUPTED}]

    def __str__(self) -> str:
        got = self.got()
        told = sorted(self.seconds_to_tell)
        slowest = f"{told[-1] * 1000:.0f} ms" if told else "-"
        median = f"{told[len(told) // 2] * 1000:.0f} ms" if told else "-"
        return (
            f"{self.kills} kills under {len(self.asked)} requests: "
            + ", ".join(f"{got[each]} {each.value}" for each in Got)
            + f"; told after {median} (median), {slowest} (most); "
            f"most dispatches of a request {max(self.dispatches.values(), default=0)}"
        )


class _Clients:
    """So many requests are open at any time."""

    def __init__(self, address: tuple[str, int], count: int, rng: random.Random, *, is_one: bool) -> None:
        self.open: set[Asked] = set()
        self.over: list[Asked] = []
        self._address = address
        self._count = count
        self._rng = rng
        self._is_one = is_one
        self._number = 0
        self._is_stopping = False

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(self._count):
                group.create_task(self._ask_again_and_again())

    def stop(self) -> None:
        """Begin no more."""
        self._is_stopping = True

    async def _ask_again_and_again(self) -> None:
        while not self._is_stopping:
            self._number += 1
            is_plain = self._rng.random() < PLAIN_SHARE
            tokens = PLAIN_TOKENS if is_plain else STREAM_TOKENS
            text = "Count." if self._is_one else f"Count to {self._number}."
            asked = Asked(self._number, body(tokens=tokens, stream=not is_plain, text=text))
            self.open.add(asked)
            await ask(self._address, asked)
            self.open.discard(asked)
            self.over.append(asked)


async def storm(
    gateway: GatewayProcess,
    engines: Sequence[EngineProcess],
    *,
    kills: int,
    clients: int,
    rng: random.Random,
    is_one: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> Storm:
    """Kill an engine of `engines` at a time, `kills` times in all, while `clients` ask.

    With `is_one` all of them ask the same thing; otherwise no two do.
    """
    found = Storm()
    asking = _Clients(gateway.address, clients, rng, is_one=is_one)
    running = asyncio.create_task(asking.run())
    killed_at: list[float] = []
    try:
        await until(lambda: sum(_has_content(asked) for asked in asking.open) > clients / 2, deadline=60)
        for number in range(kills):
            victim = rng.choice(await asyncio.to_thread(_in_use, gateway, engines))
            await asyncio.to_thread(_take_journal, victim, found)
            killed_at.append(asyncio.get_running_loop().time())
            await asyncio.to_thread(victim.kill)
            hit = list(asking.open)
            found.kills += 1
            await asyncio.to_thread(_bring_back, victim)
            await until(lambda hit=hit: all(map(_has_content, hit)), deadline=60)  # type: ignore[misc]
            if number % 10 == 9:
                say(f"{number + 1} kills, {len(asking.over)} requests over")
    finally:
        asking.stop()
        await running
    for engine in engines:
        await asyncio.to_thread(_take_journal, engine, found)
    found.asked = asking.over
    for asked in found.asked:
        if asked.got() is Got.INTERRUPTED and asked.ended_at is not None:
            found.seconds_to_tell.append(asked.ended_at - max(at for at in killed_at if at < asked.ended_at))
    return found


def _has_content(asked: Asked) -> bool:
    return asked.content_at is not None or asked.over.done()


def _in_use(gateway: GatewayProcess, engines: Sequence[EngineProcess]) -> list[EngineProcess]:
    """The engines that are sent work, once they are two at least."""

    def look() -> list[EngineProcess]:
        seen = {
            each["id"]: each["condition"] == "ready" and not each["ejected"] for each in gateway.replicas()
        }
        used = [engine for number, engine in enumerate(engines) if seen[f"engine-{number}"]]
        return used if len(used) >= 2 else []

    return wait_until(look, seconds=90, what=lambda: str(gateway.replicas()))


def _take_journal(engine: EngineProcess, found: Storm) -> None:
    """Count what it was sent. Its name for a request is the client's, with something behind it."""
    for record in engine.journal():
        _, number, *_ = record["request_id"].split("-")
        found.dispatches[number] += 1


def _bring_back(engine: EngineProcess) -> None:
    engine.start()
    engine.wait_until_up()


def engines_in(folder: Path) -> list[EngineProcess]:
    """Two on TCP, whose death is a reset, and two on unix sockets, whose death is an end."""
    return [EngineProcess(folder, f"e{number}", *PACE, is_tcp=number % 2 == 0) for number in range(ENGINES)]


def main() -> None:
    """The full size, from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    parser.add_argument("--same", action="store_true", help="all clients ask the same thing")
    told = parser.parse_args()
    print(f"seed {told.seed}")
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kills-")))
        engines = engines_in(folder)
        gateway = stack.enter_context(in_front_of(engines, folder))
        how = {"kills": told.kills, "clients": told.clients, "is_one": told.same, "say": print}
        found = uvloop.run(storm(gateway, engines, rng=random.Random(told.seed), **how))
        gateway.wait_until_nothing_is_held()
        attempts = max(call["attempts"] for call in gateway.calls())
    print(found)
    print(f"most attempts by the gateway's log: {attempts}")
    assert not found.lost(), found.lost()[:3]


if __name__ == "__main__":
    main()
