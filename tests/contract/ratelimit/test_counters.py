"""What callers rely on, wherever counts are kept."""

from __future__ import annotations

import asyncio

import pytest

from gateway.ratelimit.base import Calendar, Pending, Rule, Taken, Unit

MINUTE = Rule("key:a|requests|60", Unit.REQUESTS, 10, 60.0)
TOKENS = Rule("team:t|model:m|tokens|60", Unit.TOKENS, 1000, 60.0)
DAY = Rule("key:a|tokens|day", Unit.TOKENS, 1000, Calendar.DAY)
MONTH = Rule("key:a|cost|month", Unit.COST, 1000, Calendar.MONTH)
SLOTS = Rule("key:a|slots", Unit.SLOTS, 2, None)
ANSWER_SECONDS = 5.0
LONGEST_SLOT = 60 / 60 + 0.01
"""What a window may count beyond its period, and a little more."""


async def test_what_is_taken_counts_at_once_and_says_what_is_left(bench) -> None:
    taken = await bench.take((MINUTE, 1), (TOKENS, 300))
    assert list(taken.left) == [9, 700]
    assert await bench.room(MINUTE) == 9
    assert await bench.room(TOKENS) == 700


async def test_what_fits_exactly_is_taken_and_one_more_is_refused(bench) -> None:
    assert await bench.count(MINUTE, [1] * 30) == 10
    assert await bench.room(MINUTE) == 0


async def test_all_is_taken_or_nothing(bench) -> None:
    await bench.take((TOKENS, 900))
    refused = await bench.refuse((MINUTE, 1), (SLOTS, 1), (TOKENS, 200), (DAY, 1))
    assert refused.rule == TOKENS
    assert [await bench.room(rule) for rule in (MINUTE, SLOTS, DAY)] == [10, 2, 1000]


async def test_a_refusal_names_the_rule_that_is_last_to_have_room(bench) -> None:
    await bench.take((MINUTE, 10), (DAY, 1000))
    refused = await bench.refuse((MINUTE, 1), (DAY, 1))
    assert refused.rule == DAY
    assert refused.after == pytest.approx(12 * 3600, abs=2)


async def test_a_window_moves_with_time(bench) -> None:
    await bench.take((MINUTE, 6))
    bench.clock.advance(30)
    await bench.take((MINUTE, 4))
    bench.clock.advance(29.9)
    await bench.refuse((MINUTE, 1))
    bench.clock.advance(0.1 + LONGEST_SLOT)
    assert await bench.room(MINUTE) == 6


async def test_it_fits_after_the_seconds_that_a_refusal_says_and_not_much_earlier(bench) -> None:
    await bench.take((TOKENS, 400))
    bench.clock.advance(7.3)
    await bench.take((TOKENS, 600))
    refused = await bench.refuse((TOKENS, 500))
    assert 60 <= refused.after <= 60 + LONGEST_SLOT
    bench.clock.advance(refused.after - LONGEST_SLOT)
    again = await bench.refuse((TOKENS, 500))
    assert again.after <= LONGEST_SLOT + 0.01
    bench.clock.advance(again.after)
    await bench.take((TOKENS, 500))


async def test_what_was_not_used_is_given_back(bench) -> None:
    taken = await bench.take((MINUTE, 1), (TOKENS, 900))
    await bench.settle(taken, 1, 100)
    assert [await bench.room(MINUTE), await bench.room(TOKENS)] == [9, 900]
    bench.clock.advance(60 + LONGEST_SLOT)
    assert [await bench.room(MINUTE), await bench.room(TOKENS)] == [10, 1000]


async def test_all_of_it_can_be_given_back(bench) -> None:
    taken = await bench.take((MINUTE, 1), (TOKENS, 900), (SLOTS, 1), (DAY, 7), (MONTH, 3))
    await bench.settle(taken, 0, 0, 0, 0, 0)
    rooms = [await bench.room(rule) for rule in (MINUTE, TOKENS, SLOTS, DAY, MONTH)]
    assert rooms == [10, 1000, 2, 1000, 1000]


async def test_what_was_used_beyond_is_counted_and_keeps_others_out(bench) -> None:
    taken = await bench.take((TOKENS, 500))
    await bench.settle(taken, 1500)
    refused = await bench.refuse((TOKENS, 1))
    bench.clock.advance(refused.after + LONGEST_SLOT)
    assert await bench.room(TOKENS) == 1000


async def test_what_is_settled_after_its_time_gives_nothing_to_another(bench) -> None:
    long = await bench.take((TOKENS, 900))
    bench.clock.advance(200)
    await bench.take((TOKENS, 900))
    await bench.settle(long, 0)
    assert await bench.room(TOKENS) == 100


async def test_what_is_used_beyond_after_its_time_counts_from_then(bench) -> None:
    long = await bench.take((TOKENS, 100))
    bench.clock.advance(200)
    await bench.settle(long, 400)
    assert await bench.room(TOKENS) == 700


async def test_slots_come_back_when_calls_end_and_not_with_time(bench) -> None:
    first = await bench.take((SLOTS, 1))
    await bench.take((SLOTS, 1))
    refused = await bench.refuse((SLOTS, 1))
    assert (refused.rule, refused.after > 0) == (SLOTS, True)
    await bench.settle(first, 1)
    await bench.take((SLOTS, 1))
    await bench.refuse((SLOTS, 1))


async def test_a_budget_lasts_to_the_end_of_its_day(bench) -> None:
    await bench.take((DAY, 1000))
    refused = await bench.refuse((DAY, 1))
    assert refused.after == pytest.approx(12 * 3600, abs=1)
    bench.clock.advance(12 * 3600 - 1)
    await bench.refuse((DAY, 1))
    bench.clock.advance(1)
    assert await bench.room(DAY) == 1000


async def test_a_budget_of_a_month_lasts_to_the_end_of_it(bench) -> None:
    await bench.take((MONTH, 1000))
    bench.clock.advance(6.5 * 86_400 - 1)
    await bench.refuse((MONTH, 1))
    bench.clock.advance(1)
    assert await bench.room(MONTH) == 1000


async def test_a_call_over_midnight_is_of_the_day_it_began_in(bench) -> None:
    taken = await bench.take((DAY, 800))
    bench.clock.advance(13 * 3600)
    await bench.take((DAY, 500))
    await bench.settle(taken, 100)
    assert await bench.room(DAY) == 500


async def test_a_budget_goes_on_from_what_records_say(bench) -> None:
    await bench.take((DAY, 100))
    bench.counters.seed(DAY, 700)
    assert await bench.room(DAY) == 300
    bench.counters.seed(DAY, 200)
    assert await bench.room(DAY) == 300


async def test_a_changed_limit_goes_on_from_what_was_counted(bench) -> None:
    await bench.take((MINUTE, 8))
    assert await bench.room(MINUTE._replace(limit=20)) == 12
    lowered = MINUTE._replace(limit=5)
    refused = await bench.refuse((lowered, 5))
    bench.clock.advance(refused.after)
    await bench.take((lowered, 5))


async def test_parties_have_counts_of_their_own(bench) -> None:
    await bench.take((MINUTE, 10))
    assert await bench.room(MINUTE._replace(key="key:b|requests|60")) == 10


async def test_a_shadow_rule_tells_of_what_it_would_refuse_and_refuses_nothing(bench) -> None:
    shadow = MINUTE._replace(shadow=True)
    tokens = TOKENS._replace(key="key:a|tokens|60")
    for _ in range(10):
        assert not (await bench.take((shadow, 1), (tokens, 10))).exceeded
    taken = await bench.take((shadow, 1), (tokens, 10))
    assert list(taken.exceeded) == [shadow]
    assert list(taken.left) == [0, 890]
    await bench.settle(taken, 0, 5)
    assert (await bench.take((shadow, 1), (tokens, 0))).exceeded
    assert await bench.room(tokens) == 895


async def test_who_cancels_is_told_nothing_and_holds_nothing(bench) -> None:
    """Where the answer comes at once there is nothing to cancel."""
    answer = bench.counters.take([SLOTS], [1], _Untold())
    if isinstance(answer, Pending):
        answer.cancel()
    else:
        answer.settle([0])
    async with asyncio.timeout(ANSWER_SECONDS):  # it may be given back only once the answer is there
        answer = await bench.ask((SLOTS, 2))
        while not isinstance(answer, Taken):
            answer = await bench.ask((SLOTS, 2))


class _Untold:
    def taken(self, taken) -> None:
        raise AssertionError("told after it cancelled")

    refused = taken
