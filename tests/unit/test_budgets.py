"""Budgets go on from the records of usage."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from config.schema import Config
from gateway.allowances import allowances_of
from gateway.budgets import Budgets
from gateway.core.errors import StoreUnavailable
from gateway.ledger.records import unknown
from gateway.ratelimit.base import Calendar, Rule, Taken, Unit
from gateway.ratelimit.memory import MemoryCounters
from gateway.store import Database, sqlite
from tests.support.clock import Clock
from tests.support.usage import AT, UsageStore, began, ended, who

DAY = 86_400
ALLOWANCES = allowances_of(
    Config.model_validate(
        {
            "limits": {
                "default": {"team": {"tokens_per_day": 1000, "requests_per_minute": 5}},
                "users": {"ann": {"cost_per_month": 1.0}},
                "keys": {"key-a": {"models": {"big": {"tokens_per_month": 500}}}},
            },
            "prices": {"big": {"input": 1000.0, "cached_input": 500.0, "output": 2000.0}},
        }
    )
)
ROWS = [
    ended("1", who=who("a")),
    ended("2", who=who("a", user="ann", model="big")),
    ended("3", who=who("b")),
    ended("4", who=who("a"), at=AT - DAY),
    ended("5", who=who("a", user="ann", model="big"), at=AT - DAY),
    ended("6", who=who("a", user="ann", model="big"), at=AT - 60 * DAY),
]
"""Each of 10 tokens in, 2 of them cached, and 5 out."""


def left(counters: MemoryCounters, key: str, unit: Unit, limit: int, period: Calendar) -> int:
    taken = counters.take([Rule(key, unit, limit, period)], [0], None)
    return taken.left[0]


async def test_a_gateway_that_starts_knows_what_was_spent(tmp_path: Path) -> None:
    database = Database(sqlite(tmp_path / "usage.db"))
    counters = MemoryCounters(clock=Clock(), wall=lambda: AT)
    try:
        store = UsageStore(database, retention_days=90, daily_retention_days=800, now=lambda: AT)
        await store.add(ROWS)
        budgets = Budgets(ALLOWANCES, counters, database, now=lambda: AT, has_left=lambda: False)
        await budgets.begin()
        assert await budgets.recount()  # what is counted again is not counted twice
    finally:
        await database.close()
    assert left(counters, "team:a|tokens|day", Unit.TOKENS, 1000, Calendar.DAY) == 1000 - 30
    assert left(counters, "team:b|tokens|day", Unit.TOKENS, 1000, Calendar.DAY) == 1000 - 15
    big = "key:key-a|model:big|tokens|month"
    assert left(counters, big, Unit.TOKENS, 500, Calendar.MONTH) == 500 - 30
    cost = 2 * (8 * 1000 + 2 * 500 + 5 * 2000)
    assert (
        left(counters, "user:ann|default|a|cost|month", Unit.COST, 1_000_000, Calendar.MONTH)
        == 1_000_000 - cost
    )


async def test_a_database_that_does_not_answer_is_told_of_and_stops_nobody(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    async def fails(*_: object) -> None:
        raise StoreUnavailable("no")

    monkeypatch.setattr("gateway.budgets.answer", fails)
    counters = MemoryCounters(clock=Clock(), wall=lambda: AT)
    database = Database(sqlite(tmp_path / "usage.db"))
    assert not await Budgets(ALLOWANCES, counters, database, now=lambda: AT, has_left=lambda: False).recount()
    assert "budgets not counted" in caplog.text


async def test_budgets_are_counted_until_what_a_killed_gateway_left_is_in_the_database(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("gateway.budgets.AGAIN_SECONDS", 0.0)
    database = Database(sqlite(tmp_path / "usage.db"))
    counters = MemoryCounters(clock=Clock(), wall=lambda: AT)
    store = UsageStore(database, retention_days=90, daily_retention_days=800, now=lambda: AT)
    looks = iter([True, True, False])
    try:
        await store.add(ROWS[:1])
        budgets = Budgets(ALLOWANCES, counters, database, now=lambda: AT, has_left=lambda: next(looks))
        recount, counted = budgets.recount, 0

        async def counting(**how: bool) -> bool:
            nonlocal counted
            counted += 1
            if counted == 3:
                await store.add(ROWS)
            return await recount(**how)

        monkeypatch.setattr(budgets, "recount", counting)
        async with asyncio.timeout(30):
            await budgets.run()
    finally:
        await database.close()
    assert counted == 3
    assert left(counters, "team:a|tokens|day", Unit.TOKENS, 1000, Calendar.DAY) == 1000 - 30


TEAM = ("team:a|tokens|day", Unit.TOKENS, 100_000, Calendar.DAY)
ROOMY = allowances_of(
    Config.model_validate(
        {
            "limits": {
                "default": {"team": {"tokens_per_day": 100_000}},
                "models": {"m": {"context": 4000}},
            }
        }
    )
)
KILLED = [
    began("1", who=who("a")),
    ended("1", who=who("a")),
    began("2", who=who("a")),
    ended("2", who=who("a")),
    began("open", who=who("a"), most_tokens=100),
    began("endless", who=who("a"), most_tokens=0),
    began("former", who=who("a"), at=AT - DAY),
]
"""What a killed gateway left: two that ended, of which the first is in the database too, and those that did not."""
RESERVED = 2 * (11 * 4 + 512) + 100 + 4000


async def test_what_a_killed_gateway_had_reserved_is_counted_until_its_records_are_there(
    tmp_path: Path,
) -> None:
    database = Database(sqlite(tmp_path / "usage.db"))
    counters = MemoryCounters(clock=Clock(), wall=lambda: AT)
    store = UsageStore(database, retention_days=90, daily_retention_days=800, now=lambda: AT)
    budgets = Budgets(ROOMY, counters, database, now=lambda: AT, has_left=lambda: True, left=lambda: KILLED)
    try:
        await store.add([ended("1", who=who("a"))])
        await budgets.begin()
        assert left(counters, *TEAM) == 100_000 - 30 - RESERVED
        taken = counters.take([Rule(*TEAM)], [500], None)
        assert isinstance(taken, Taken)
        await budgets.recount()
        assert left(counters, *TEAM) == 100_000 - 30 - RESERVED - 500  # nothing twice
        lost = [unknown(each, 7) for each in (KILLED[4], KILLED[5])]
        await store.add([ended("2", who=who("a")), *lost])
        await budgets.recount(is_last=True)
    finally:
        await database.close()
    assert left(counters, *TEAM) == 100_000 - 30 - 2 * 17 - 500


async def test_what_was_spent_before_counts_beside_what_was_taken_since(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The database is away at the start, and there later."""
    database = Database(sqlite(tmp_path / "usage.db"))
    counters = MemoryCounters(clock=Clock(), wall=lambda: AT)
    store = UsageStore(database, retention_days=90, daily_retention_days=800, now=lambda: AT)
    budgets = Budgets(ROOMY, counters, database, now=lambda: AT, has_left=lambda: False)

    async def fails(*_: object) -> None:
        raise StoreUnavailable("no")

    try:
        await store.add([ended("1", who=who("a"))])
        with monkeypatch.context() as away:
            away.setattr("gateway.budgets.answer", fails)
            await budgets.begin()
        assert isinstance(counters.take([Rule(*TEAM)], [500], None), Taken)
        await store.add([ended("own", who=who("a"), at=AT + 5)])  # of this process, which counts it itself
        assert await budgets.recount()
    finally:
        await database.close()
    assert left(counters, *TEAM) == 100_000 - 15 - 500


def test_only_limits_on_days_and_months_are_budgets() -> None:
    assert ALLOWANCES.has_budgets
    rates = {
        "limits": {"default": {"key": {"requests_per_minute": 5, "models": {"m": {"tokens_per_minute": 1}}}}}
    }
    assert not allowances_of(Config.model_validate(rates)).has_budgets
