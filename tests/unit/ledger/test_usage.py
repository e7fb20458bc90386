"""Sums by time and by whose they are, of both databases."""

import pytest

from gateway.ledger.rows.shape import day_of
from gateway.ledger.usage import DAY, Question, answer
from tests.support.usage import AT, UsageStore, ended, who

START = day_of(AT)


@pytest.fixture
async def usage(database):
    store = UsageStore(database, retention_days=10, daily_retention_days=30, now=lambda: AT)
    await store.add(
        [
            ended("a", who=who("red", model="m1")),
            ended("b", who=who("red", model="m2"), at=AT + 60),
            ended("c", who=who("blue", model="m1"), at=AT + DAY, outcome="upstream_error", estimated=True),
        ]
    )
    return database


async def test_all_in_one_sum(usage):
    (line,) = await answer(usage, Question(START, START + 2 * DAY))
    assert (line.requests, line.failed, line.prompt_tokens, line.cached_tokens) == (3, 1, 30, 6)
    assert (line.completion_tokens, line.estimated) == (15, 1)


@pytest.mark.parametrize("width", [60, 3600, DAY])
async def test_buckets_agree_with_the_whole(usage, width):
    lines = await answer(usage, Question(START, START + 2 * DAY, width=width, by=("team",)))
    assert sum(line.requests for line in lines) == 3
    assert all(line.start % width == 0 for line in lines)
    assert [line.group for line in lines][-1] == ("blue",)
    assert (lines[-1].failed, lines[-1].estimated) == (1, 1)


async def test_groups_and_filters(usage):
    question = Question(START, START + 2 * DAY, by=("team", "model"), only={"model": ["m1", "m3"]})
    assert [(line.group, line.requests) for line in await answer(usage, question)] == [
        (("blue", "m1"), 1),
        (("red", "m1"), 1),
    ]


async def test_what_is_outside_the_time_does_not_count(usage):
    assert await answer(usage, Question(START + 3 * DAY, START + 4 * DAY, by=("team",))) == []
    (line,) = await answer(usage, Question(START, START + DAY))
    assert line.requests == 2


async def test_nobody_wanted_is_nobody(usage):
    assert await answer(usage, Question(START, START + DAY, by=("team",), only={"team": []})) == []


async def test_a_value_is_never_a_statement(usage):
    evil = "red' OR '1'='1"
    assert await answer(usage, Question(START, START + DAY, by=("team",), only={"team": [evil]})) == []


async def test_a_group_that_is_none_is_refused(usage):
    with pytest.raises(ValueError, match="told apart"):
        await answer(usage, Question(START, START + DAY, by=('team" --',)))
