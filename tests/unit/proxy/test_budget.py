from __future__ import annotations

from gateway.proxy.budget import BURST, PER_SECOND, SHARE, RetryBudget
from tests.support.clock import Clock


def spend_all(budget: RetryBudget) -> int:
    spent = 0
    while budget.has():
        budget.spend()
        spent += 1
    return spent


def test_one_engines_calls_may_all_move_at_once_and_no_more_than_that() -> None:
    assert spend_all(RetryBudget(Clock())) == BURST


def test_a_share_of_the_calls_may_be_sent_again() -> None:
    budget = RetryBudget(Clock())
    spend_all(budget)
    budget.calls = 500
    assert spend_all(budget) == 500 * SHARE
    assert spend_all(budget) == 0


def test_a_few_a_second_always_may_and_no_more_than_a_burst_is_kept() -> None:
    clock = Clock()
    budget = RetryBudget(clock)
    spend_all(budget)
    clock.advance(10)
    assert spend_all(budget) == 10 * PER_SECOND
    clock.advance(10_000)
    budget.calls = 10_000
    assert spend_all(budget) == BURST
