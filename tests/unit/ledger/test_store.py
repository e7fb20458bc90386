"""Rows and sums agree in either database, whatever is added twice, and do not grow for ever."""

import pytest
from sqlalchemy import text

from gateway.ledger.rows import Refused
from gateway.ledger.rows.shape import day_of, month_of
from gateway.ledger.usage import Question, answer
from tests.support.usage import AT, UsageStore, ended, who

DAY = 86_400


def store_of(database, *, now=AT, **how):
    return UsageStore(database, **{"retention_days": 10, "daily_retention_days": 30, **how}, now=lambda: now)


async def all_of(database, table):
    async with database.read() as connection:
        return [row._mapping for row in await connection.execute(text(f'SELECT * FROM "{table}"'))]


async def test_a_row_holds_what_the_record_says(database):
    row = ended("a", who=who("team", user="ann", model="näme'\"", stream=False), code=None, queue_ms=None)
    await store_of(database).add([row])
    (kept,) = await all_of(database, "usage")
    assert (kept["id"], kept["team"], kept["user"], kept["model"]) == ("a", "team", "ann", "näme'\"")
    assert (kept["prompt_tokens"], kept["completion_tokens"], kept["ended"]) == (10, 5, int(AT))
    assert (bool(kept["stream"]), bool(kept["estimated"]), kept["queue_ms"]) == (False, False, None)
    assert kept["asked"] is None


async def test_a_row_names_the_model_that_served_and_the_one_asked_for(database):
    await store_of(database).add([ended("a", who=who(model="small", asked="chat"))])
    (kept,) = await all_of(database, "usage")
    assert (kept["model"], kept["asked"]) == ("small", "chat")


async def test_rows_that_come_again_are_counted_once(database):
    store = store_of(database)
    rows = [ended(str(number)) for number in range(1200)]
    await store.add(rows[:700])
    await store.add(rows)
    assert len(await all_of(database, "usage")) == 1200
    for table, start in (("usage_daily", day_of(AT)), ("usage_monthly", month_of(AT))):
        (sums,) = await all_of(database, table)
        assert (sums["start"], sums["requests"]) == (start, 1200)
        assert (sums["prompt_tokens"], sums["completion_tokens"]) == (12_000, 6_000)


async def test_sums_are_kept_by_day_month_and_whose_they_are(database):
    store = store_of(database)
    await store.add(
        [
            ended("a"),
            ended("b", who=who("other")),
            ended("c", at=AT + DAY, outcome="upstream_error", estimated=True),
            ended("d", at=AT + 30 * DAY),
        ]
    )
    assert len(await all_of(database, "usage_daily")) == 4
    monthly = {(row["start"], row["team"]): row for row in await all_of(database, "usage_monthly")}
    assert len(monthly) == 3
    row = monthly[month_of(AT), "team"]
    assert (row["requests"], row["failed"], row["estimated"]) == (2, 1, 1)


async def test_what_is_older_than_it_has_to_be_kept_goes(database, monkeypatch):
    monkeypatch.setattr("gateway.ledger.sql.PRUNED_AT_ONCE", 3)
    store = store_of(database)
    await store.add([ended(str(number), at=AT + number * DAY) for number in range(40)])
    await store_of(database, now=AT + 39 * DAY).prune()
    assert len(await all_of(database, "usage")) == 11
    assert len(await all_of(database, "usage_daily")) == 30
    assert sum(row["requests"] for row in await all_of(database, "usage_monthly")) == 40


async def test_values_that_a_database_does_not_take_are_refused_and_nothing_of_them_is_kept(database):
    store = store_of(database)
    await store.add([ended("good")])
    if database.place.is_sqlite:
        bad = ended("bad", prompt_tokens=2**63)
    else:
        bad = ended("bad", who=who("te\0am"))
    with pytest.raises(Refused):
        await store.add([ended("beside"), bad])
    assert [row["id"] for row in await all_of(database, "usage")] == ["good"]
    assert [row["requests"] for row in await all_of(database, "usage_daily")] == [1]


async def test_costs_are_summed_and_rows_without_one_add_nothing(database):
    await store_of(database).add([ended("a", cost=5), ended("b", cost=None), ended("c", cost=7)])
    assert {row["id"]: row["cost"] for row in await all_of(database, "usage")} == {"a": 5, "b": None, "c": 7}
    for width in (None, 3600):
        (line,) = await answer(database, Question(day_of(AT), day_of(AT) + DAY, width=width))
        assert line.cost == 12
