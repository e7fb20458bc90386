"""Those who keep counts at hand count with everybody else, whatever became of the counts meanwhile."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.ratelimit.account import Account, Rows
from gateway.ratelimit.base import Calendar, Refused, Rule, Unit
from gateway.ratelimit.demand import Demand
from gateway.ratelimit.memory import MemoryCounters
from tests.support.clock import Clock

WALL = 1_795_564_740.0
"""2026-11-24T23:59:00Z."""
MINUTE = Rule("team:t|tokens|60", Unit.TOKENS, 1000, 60.0)
DAY = Rule("team:t|tokens|day", Unit.TOKENS, 5000, Calendar.DAY)
SLOTS = Rule("team:t|slots", Unit.SLOTS, 2, None)


def demand(tokens: int) -> Demand:
    return (1, tokens, 0, tokens, 0, 1)


def over(tokens: int) -> Demand:
    return (1, tokens, 0, tokens, 0, 0)


def counters(clock: Clock) -> MemoryCounters:
    return MemoryCounters(clock=clock, wall=lambda: WALL + clock.now)


def taken(account: Account, tokens: int) -> Rows:
    rows = account.take(demand(tokens))
    assert rows is not None
    return rows


def forget_the_idle(counted: MemoryCounters, clock: Clock) -> None:
    """So many others come that idle counts are dropped."""
    for number in range(2000):
        clock.advance(1.0)
        assert counted.account([Rule(f"{number}", Unit.REQUESTS, 1, 60.0)]).take(demand(0)) is not None
    assert len(counted) < 1000


def test_two_accounts_of_one_rule_share_its_count() -> None:
    counted = counters(Clock(0.0))
    one, other = (counted.account([MINUTE, SLOTS]) for _ in range(2))
    rows = taken(one, 900)
    assert other.take(demand(200)) is None
    one.settle(rows, demand(900), over(100))
    taken(other, 200)
    assert (one.left(), counted.held()) == ([700, 1], 1)


def test_an_account_whose_counts_were_dropped_counts_with_those_that_were_begun_anew() -> None:
    clock = Clock(0.0)
    counted = counters(clock)
    old = counted.account([SLOTS])
    old.settle(taken(old, 500), demand(500), over(0))
    forget_the_idle(counted, clock)
    for _ in range(2):
        taken(counted.account([SLOTS]), 1)
    assert old.take(demand(1)) is None
    assert old.left() == [0]


def test_what_was_used_beyond_what_was_taken_of_a_dropped_count_is_counted() -> None:
    clock = Clock(0.0)
    counted = counters(clock)
    account = counted.account([MINUTE])
    rows = taken(account, 500)
    forget_the_idle(counted, clock)
    account.settle(rows, demand(500), over(700))
    assert counted.account([MINUTE]).take(demand(900)) is None


def test_nothing_is_taken_where_any_rule_has_no_room() -> None:
    counted = counters(Clock(0.0))
    account = counted.account([DAY, MINUTE, SLOTS])
    taken(account, 400)
    assert account.take(demand(700)) is None
    answer = account.take_within(demand(700))
    assert isinstance(answer, Refused)
    assert answer.rule == MINUTE
    assert account.left() == [4600, 600, 1]


def test_what_a_former_day_gives_back_is_not_for_this_one() -> None:
    clock = Clock(0.0)
    account = counters(clock).account([DAY])
    rows = taken(account, 4000)
    clock.advance(3600)
    taken(account, 4500)
    account.settle(rows, demand(4000), over(0))
    assert account.remaining(0) == 500


def test_a_clock_that_is_set_back_over_midnight_gives_no_room() -> None:
    clock, ahead = Clock(0.0), [0.0]
    counted = MemoryCounters(clock=clock, wall=lambda: WALL + ahead[0])
    one, other = (counted.account([DAY]) for _ in range(2))
    taken(other, 1000)
    ahead[0] = 3600.0
    taken(one, 3000)
    ahead[0] = -3600.0
    rows = taken(other, 2000)
    assert other.take(demand(1)) is None
    other.settle(rows, demand(2000), over(0))
    assert one.left()[0] <= 2000


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([0.0, 0.3, 1.0, 30.0, 61.0, 3600.0]),
            st.integers(0, 2),
            st.integers(0, 900),
            st.integers(0, 30),
            st.integers(0, 900),
        ),
        max_size=60,
    )
)
def test_counts_are_those_of_what_is_held_and_used_whoever_took_it(
    steps: list[tuple[float, int, int, int, int]],
) -> None:
    """Several accounts with rules in common; idle counts are dropped all the time."""
    clock = Clock(0.0)
    counted = counters(clock)
    accounts = [counted.account(rules) for rules in ([MINUTE, SLOTS], [SLOTS, DAY, MINUTE], [DAY])]
    running: list[tuple[Account, Rows, int]] = []
    for pause, which, tokens, ending, used in steps:
        clock.advance(pause)
        counted._look_at = 0
        counted.make_room()
        account = accounts[which]
        rows = account.take(demand(tokens))
        if rows is not None:
            running.append((account, rows, tokens))
        if running:
            ended, of, amount = running.pop(ending % len(running))
            ended.settle(of, demand(amount), over(used))
        assert counted.held() == sum(account is not accounts[2] for account, _, _ in running)
        assert accounts[0].take(demand(10**9)) is None
        assert all(count.used >= 0 for count in counted._counts.values())
    for account, rows, tokens in running:
        account.settle(rows, demand(tokens), over(0))
    clock.advance(86_400 * 2)
    counted._look_at = 0
    counted.make_room()
    assert len(counted) == 0
