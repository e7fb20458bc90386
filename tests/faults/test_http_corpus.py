"""Every row of the corpus on raw sockets, over both drivers: nothing refused reaches an engine, nothing is smuggled (A1-A9, G17)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from config.schema import Config
from engines.simulated import SimulatedEngine
from gateway.auth.keys import KeyFile
from tests.faults.corpus import CANARY, CANARY_ID, GROUPS, rows
from tests.faults.wire import judge
from tests.support.gateway import Driver, RunningGateway, endpoint, running


@dataclass
class Locked:
    """A gateway that asks for a key, and the key."""

    gateway: RunningGateway
    engine: SimulatedEngine
    key: str


@pytest.fixture
async def locked(driver: Driver, tmp_path: Path) -> AsyncIterator[Locked]:
    data = tmp_path / "data"
    key = KeyFile(data / "keys.json", data / "pepper", lambda: 1.0).create("corpus").text
    async with (
        SimulatedEngine().serve(uds=tmp_path / "e.sock") as engine,
        running(Config(), data, driver, endpoint(engine.address)) as gateway,
    ):
        yield Locked(gateway, engine, key)


@pytest.mark.parametrize("group", GROUPS)
async def test_what_is_refused_is_refused_and_what_is_served_is_in_step(
    locked: Locked, group: str, figure: Callable[[str, str], None]
) -> None:
    wrong = [
        told
        for case in GROUPS[group]
        if (told := await judge(locked.gateway.address, case, locked.key, lambda: len(locked.engine.log)))
    ]
    assert not wrong, "\n".join(wrong)
    await locked.gateway.settled()
    figure("HTTP corpus", f"{len(list(rows()))} requests over each of {len(Driver)} drivers, 0 smuggled")


@pytest.mark.parametrize("count", [2, 17, 1000])
async def test_what_is_pipelined_is_answered_in_order(locked: Locked, count: int) -> None:
    """All in one write. None is answered twice, out of turn, or not at all (A8)."""
    peer = await locked.gateway.connect()
    lines = [CANARY.replace(CANARY_ID, b"pipelined-%d" % number, 1) for number in range(count)]
    sending = asyncio.ensure_future(peer.send(b"".join(lines).replace(b"@KEY@", locked.key.encode())))
    for number in range(count):
        answer = await peer.response()
        assert (answer.status, answer.header("x-request-id")) == (200, f"pipelined-{number}")
    await sending
    assert not peer.buffer
    assert len(locked.engine.log) == count


def test_the_corpus_is_large_and_its_names_tell_its_rows_apart() -> None:
    for cases in GROUPS.values():
        names = [case.name for case in cases]
        assert len(set(names)) == len(names), sorted(name for name in names if names.count(name) > 1)
    assert len(list(rows())) >= 300
    assert CANARY.endswith(b"}")
