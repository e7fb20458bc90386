"""`cascadia usage`: the database's sums, as a table, CSV or JSON."""

import asyncio
import csv
import io
import time
from datetime import UTC, datetime

import pytest

from gateway.store import Database, sqlite
from tests.support.usage import UsageStore, ended, who


@pytest.fixture
def used(data):
    """Two calls of today by one team and one of forty days ago by another."""
    now = time.time()

    async def add():
        database = Database(sqlite(data / "cascadia.db"))
        store = UsageStore(database, retention_days=90, daily_retention_days=800, now=lambda: now)
        await store.add(
            [
                ended("a", at=now, who=who("red", model="m1")),
                ended("b", at=now, who=who("red", model="m2"), prompt_tokens=1_234_567),
                ended("c", at=now - 40 * 86_400, who=who("blue", model="m1")),
            ]
        )
        await database.close()

    asyncio.run(add())
    return datetime.fromtimestamp(now, UTC).date()


def test_a_table_of_teams_and_models_of_the_last_thirty_days(cascadia, used):
    called = cascadia("usage")
    assert called.code == 0
    assert "1,234,567" in called.out
    assert "red" in called.out
    assert "blue" not in called.out
    assert max(map(len, called.out.splitlines())) <= 100


def test_csv_has_one_head_and_plain_numbers(cascadia, used):
    called = cascadia("usage", "--by", "team", "--csv", "--from", "2020-01-01")
    rows = list(csv.DictReader(io.StringIO(called.out)))
    assert [(row["team"], row["requests"]) for row in rows] == [("blue", "1"), ("red", "2")]
    assert rows[1]["prompt"] == str(1_234_567 + 10)


def test_json_by_day_in_the_order_that_was_asked_for(cascadia, used):
    found = cascadia("usage", "--by", "day", "--by", "model", "--json", "--team", "red").json
    assert [list(line)[:3] for line in found["usage"]] == [["day", "model", "requests"]] * 2
    assert {line["day"] for line in found["usage"]} == {used.isoformat()}


def test_only_one_model(cascadia, used):
    found = cascadia("usage", "--model", "m2", "--json").json["usage"]
    assert [(line["team"], line["model"]) for line in found] == [("red", "m2")]


def test_no_usage_is_said(cascadia):
    called = cascadia("usage")
    assert (called.code, called.out) == (0, "")
    assert "no usage" in called.err


@pytest.mark.parametrize(
    "arguments",
    [("--by", "colour"), ("--from", "yesterday"), ("--from", "2026-11-02", "--to", "2026-11-01")],
)
def test_what_cannot_be_meant_is_refused_as_misuse(cascadia, arguments):
    called = cascadia("usage", *arguments)
    assert called.code == 2
    assert "Traceback" not in called.err


def test_a_database_that_is_away_is_told_with_its_cause(cascadia, data):
    data.mkdir(parents=True)
    (data / "cascadia.db").write_text("no database" * 100)
    called = cascadia("usage")
    assert called.code == 1
    assert "not a database" in called.err
    assert called.last.startswith("next:")
