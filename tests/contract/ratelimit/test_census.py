"""Gateways that start while the server is away share limits among as many as there were, or as their operator says."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from gateway.ratelimit.base import Rule, Taken, Unit
from gateway.ratelimit.shared.census import FORGOTTEN_S, Census
from gateway.ratelimit.shared.counters import SharedCounters
from tests.support import valkey
from tests.support.clock import Clock

MINUTE = Rule("key:a|requests|60", Unit.REQUESTS, 10, 60.0)
FEW = Rule("key:b|requests|60", Unit.REQUESTS, 2, 60.0)
SLOTS = Rule("key:a|slots", Unit.SLOTS, 10, None)
NOON = 1_795_521_600.0


def census(path: Path, *, expected: int | None = None, wall: Callable[[], float] = lambda: NOON) -> Census:
    return Census(path, expected=expected, wall=wall)


def admitted(counters: SharedCounters, rule: Rule, times: int = 20) -> int:
    return sum(isinstance(counters.take([rule], [1], None), Taken) for _ in range(times))


@contextlib.asynccontextmanager
async def started(server: Path, kept: Path, number: int, **more) -> AsyncIterator[list[SharedCounters]]:
    async with contextlib.AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(
                valkey.shared(server, name=f"g{n}", wait=False, census=census(kept, **more))
            )
            for n in range(number)
        ]


async def test_each_takes_its_part_of_what_the_operator_says_there_are(tmp_path) -> None:
    async with started(tmp_path / "nothing.sock", tmp_path / "kept", 4, expected=4) as found:
        assert [admitted(each, MINUTE) for each in found] == [2, 2, 2, 2]
        assert [admitted(each, SLOTS) for each in found] == [2, 2, 2, 2]


async def test_nobody_is_left_without_any(tmp_path) -> None:
    async with started(tmp_path / "nothing.sock", tmp_path / "kept", 4, expected=4) as found:
        assert [admitted(each, FEW) for each in found] == [1, 1, 1, 1]


async def test_each_takes_its_part_of_what_it_last_heard_there_were(tmp_path) -> None:
    folders = [tmp_path / f"{n}" for n in range(3)]
    with valkey.server() as server:
        async with contextlib.AsyncExitStack() as stack:
            first = [
                await stack.enter_async_context(valkey.shared(server.path, name=f"g{n}", census=census(kept)))
                for n, kept in enumerate(folders)
            ]
            await valkey.until(lambda: all(each.state().gateways == 3 for each in first))
            await valkey.until(lambda: all(_kept(each) == 3 for each in folders))
    assert [_kept(each) for each in folders] == [3, 3, 3]  # they left one after another
    async with contextlib.AsyncExitStack() as stack:
        again = [
            await stack.enter_async_context(
                valkey.shared(tmp_path / "nothing.sock", name=f"n{n}", wait=False, census=census(kept))
            )
            for n, kept in enumerate(folders)
        ]
        assert [admitted(each, MINUTE) for each in again] == [3, 3, 3]


def _kept(path: Path) -> int:
    return json.loads(path.read_text())["gateways"] if path.exists() else 0


async def test_what_the_server_says_counts_once_it_is_there(tmp_path) -> None:
    with valkey.server() as server:
        async with (
            valkey.shared(server.path, census=census(tmp_path / "kept", expected=1)) as one,
            valkey.shared(server.path, name="g1", census=census(tmp_path / "k", expected=1)) as other,
        ):
            await valkey.until(lambda: one.state().gateways == other.state().gateways == 2)
            assert {one.state().rank, other.state().rank} == {0, 1}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "[]",
        '{"gateways": 0, "at": 1}',
        '{"gateways": "many", "at": 1}',
        '{"gateways": 1e99, "at": 1}',
    ],
)
def test_a_file_that_says_nothing_is_no_news(tmp_path, text) -> None:
    (tmp_path / "kept").write_text(text)
    assert census(tmp_path / "kept").gateways() == 1


async def test_the_most_of_a_day_is_kept_and_no_more(tmp_path) -> None:
    clock = Clock(NOON)
    kept = census(tmp_path / "kept", wall=clock)
    for passed, heard, stays in (
        (0, 3, 3),
        (60, 1, 3),
        (60, 5, 5),
        (FORGOTTEN_S, 2, 2),
        (-FORGOTTEN_S, 1, 1),
    ):
        clock.advance(passed)
        kept.note(heard)
        if kept._writing is not None:
            await kept._writing
        assert census(tmp_path / "kept").gateways() == kept.gateways() == stays


async def test_a_folder_that_takes_no_file_ends_nothing(tmp_path, caplog) -> None:
    kept = census(tmp_path / "away" / "kept")
    kept.note(3)
    assert kept._writing is not None
    async with asyncio.timeout(5):
        await kept._writing
    assert "not kept" in caplog.text
    assert kept.gateways() == 3
