"""An engine that stops without dying: those on it are told in time, nobody new is sent to it, and it may come back (F5, F6)."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.faults.asking import Asked, Got, begin, body, finish
from tests.faults.processes import EngineProcess, in_front_of
from tests.support.gateway import until
from tests.support.product import until as wait_until

PACE = ("--sim-ttft-ms", "20", "--sim-itl-ms", "20", "--sim-tokens", "100000", "--max-model-len", "200000")
STALL, FIRST_TOKEN = 2.0, 9.0
SUSPECT_SECONDS = 5.0
"""After so long without a word from an engine that has work it gets no more."""
SLACK_SECONDS = 10.0
LONG = 100_000
CLIENTS = 12


async def begun(address: tuple[str, int], numbers: range, *, tokens: int) -> list[Asked]:
    asked = [Asked(number, body(tokens=tokens, stream=True, text=f"{number}?")) for number in numbers]
    for each in asked:
        await begin(address, each)
    return asked


def asked_of(engine: EngineProcess) -> set[str]:
    """The numbers of the requests that it was sent."""
    return {record["request_id"].split("-")[1] for record in engine.journal()}


async def ended(asked: Sequence[Asked]) -> Counter[Got]:
    await asyncio.gather(*map(finish, asked))
    return Counter(each.got() for each in asked)


async def test_a_stopped_engine_costs_those_on_it_and_nobody_else(
    short_folder: Path, tmp_path: Path, figure: Callable[[str, str], None]
) -> None:
    engines = [EngineProcess(short_folder, f"hang-{number}", *PACE) for number in range(2)]
    stopped, _ = engines
    sections = {"timeouts": {"stall": STALL, "first_token": FIRST_TOKEN}}
    with in_front_of(engines, tmp_path, sections=sections) as gateway:
        running = await begun(gateway.address, range(CLIENTS), tokens=LONG)
        await until(lambda: all(b'"content":"' in each.raw for each in running), deadline=30)
        on_stopped = await asyncio.to_thread(asked_of, stopped)
        stopped.signal(signal.SIGSTOP)
        stopped_at = asyncio.get_running_loop().time()
        late = await begun(gateway.address, range(100, 100 + CLIENTS), tokens=2)

        # In the middle of an answer: told when nothing came for as long as that may be.
        told = [each for each in running if str(each.number) in on_stopped]
        others = [each for each in running if each not in told]
        assert (len(told), len(others)) == (CLIENTS // 2, CLIENTS // 2)
        assert await ended(told) == {Got.INTERRUPTED: len(told)}
        slowest = max((each.ended_at or 0) - stopped_at for each in told)
        assert slowest < STALL + 1 + SLACK_SECONDS

        # Nothing new for it once it has been silent for so long, whatever still waits for it.
        await asyncio.sleep(max(0.0, stopped_at + SUSPECT_SECONDS + 1 - time.monotonic()))
        new = await begun(gateway.address, range(200, 200 + CLIENTS), tokens=2)
        assert await ended(new) == {Got.COMPLETE: CLIENTS}

        # Before the first word: 504 in time, and not sent again.
        got = await ended(late)
        assert set(got) == {Got.COMPLETE, Got.REFUSED}
        for each in late:
            answer = each.answer()
            if each.got() is Got.REFUSED:
                assert answer is not None
                assert (answer.status, answer.json()["error"]["code"]) == (504, "timeout")
                assert answer.header("x-should-retry") == "false"
        assert not any(each.over.done() for each in others)

        # It wakes up, finds that nobody waits for what it was to do, and is used again.
        stopped.signal(signal.SIGCONT)
        await asyncio.to_thread(
            wait_until,
            lambda: {record["end"] for record in stopped.journal()} == {"aborted"},
            seconds=30,
            what=lambda: str(stopped.journal()),
        )
        for again in range(300, 3000, 4):
            await ended(await begun(gateway.address, range(again, again + 4), tokens=2))
            numbers = {int(number) for number in await asyncio.to_thread(asked_of, stopped)}
            if max(numbers) >= 300:
                break
        assert max(numbers) >= 300
        assert not [number for number in numbers if 200 <= number < 300]
        for each in others:
            each.transport.abort()
        await asyncio.to_thread(gateway.wait_until_nothing_is_held)
        figure(
            "engine stopped (SIGSTOP)",
            f"streams on it told after {slowest:.1f} s, of {CLIENTS} that came then {got[Got.REFUSED]} got 504",
        )
