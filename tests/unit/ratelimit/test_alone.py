"""What is taken without the server belongs to the time in which it was taken."""

from __future__ import annotations

import pytest

from gateway.ratelimit.base import Calendar, Refused, Rule, Taken, Unit
from gateway.ratelimit.memory import MemoryCounters
from gateway.ratelimit.shared.alone import Alone
from gateway.ratelimit.shared.count import Count
from gateway.ratelimit.shared.due import PRESENT, Due
from gateway.ratelimit.shared.link import Population
from gateway.ratelimit.shared.plan import Plan
from tests.support import valkey
from tests.support.clock import Clock

NOON = 1_795_521_600.0
"""2026-11-24T12:00:00Z."""
DAY_SECONDS = 86_400
DAY = Rule("k|day", Unit.TOKENS, 1000, Calendar.DAY)
MONTH = Rule("k|month", Unit.TOKENS, 1000, Calendar.MONTH)
MINUTE = Rule("k|60", Unit.TOKENS, 1000, 60.0)


class Bench:
    def __init__(self, rule: Rule) -> None:
        self.clock = Clock()
        self.count = Count(rule, self.clock())
        self.plan = Plan([rule], [self.count])
        self.told: list[tuple[int, int]] = []
        wall = valkey.told(self.clock, NOON)
        self.alone = Alone(
            MemoryCounters(clock=self.clock, wall=wall),
            clock=self.clock,
            wall=wall,
            owe=lambda _, bucket, amount: self.told.append((bucket, amount)),
            release=lambda *_: None,
            refuses=False,
        )

    def take(self, amount: int) -> Taken:
        answer = self.alone.take(self.plan, [amount], Population())
        assert isinstance(answer, Taken)
        return answer


@pytest.mark.parametrize(
    ("rule", "same", "later"),
    [(DAY, 3600, 12 * 3600), (MONTH, 6 * DAY_SECONDS, 7 * DAY_SECONDS), (MINUTE, 50, 61)],
)
def test_a_budget_used_up_refuses_until_its_time_is_over_and_no_longer(rule, same, later):
    used_up, over = Bench(rule), Bench(rule)
    for bench in (used_up, over):
        bench.count.left = 0
    used_up.clock.advance(same)
    assert isinstance(used_up.alone.take(used_up.plan, [1], Population()), Refused)
    over.clock.advance(later)
    over.take(1000)


@pytest.mark.parametrize(("rule", "later"), [(DAY, DAY_SECONDS), (MONTH, 30 * DAY_SECONDS), (MINUTE, 61)])
def test_what_is_given_back_belongs_to_when_it_was_taken_and_what_is_more_to_now(rule, later):
    bench = Bench(rule)
    less, more = bench.take(100), bench.take(100)
    (then, _), _ = bench.told
    bench.clock.advance(later)
    less.settle([10])
    more.settle([130])
    assert bench.told[2] == (then, -90)
    assert bench.told[3][0] > then
    assert bench.told[3][1] == 30


@pytest.mark.parametrize(
    ("rule", "wall", "bucket"),
    [
        (DAY, NOON, int(NOON) // DAY_SECONDS),
        (MONTH, NOON, 2026 * 12 + 10),
        (MONTH, NOON + 60 * DAY_SECONDS, 2027 * 12),
        (MINUTE, 1_000_001.0, 1_000_010),
    ],
)
def test_times_have_the_numbers_that_the_server_gives_them(rule, wall, bucket):
    assert Count(rule, 0.0).bucket_at(wall) == bucket


def test_a_long_outage_leaves_no_more_to_tell_than_windows_remember():
    due, count = Due(), Count(MINUTE, 0.0)
    for second in range(3600):
        due.owe(count, count.bucket_at(NOON + second), 1)
        due.drop_old(NOON + second)
    due.owe(count, PRESENT, 1)
    due.owe(Count(DAY, 0.0), 5, 1)
    due.drop_old(NOON + 3600)
    assert len(due._amounts) <= 10
    due.drop_old(NOON + 7200)
    assert sum(due._amounts.values()) == 2
