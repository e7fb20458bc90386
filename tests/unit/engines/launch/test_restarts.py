from __future__ import annotations

from random import Random

import pytest

from engines.launch.restarts import LONGEST_DELAY_S, Restarts


class Middle(Random):
    def uniform(self, a: float, b: float) -> float:
        return (a + b) / 2


def test_delays_double_and_the_fifth_failure_in_the_window_gives_up():
    restarts = Restarts(Middle())
    assert [restarts.after_failure(now) for now in (0, 10, 20, 30, 40)] == [1, 2, 4, 8, None]
    assert restarts.total == 5


def test_failures_that_are_spread_out_never_give_up_and_wait_a_minute_at_most():
    restarts = Restarts(Middle())
    delays = [restarts.after_failure(200.0 * number) for number in range(12)]
    assert delays == [1, 2, 4, 8, 16, 32, *[LONGEST_DELAY_S] * 6]


def test_a_window_without_a_failure_begins_anew():
    restarts = Restarts(Middle())
    assert restarts.after_failure(0) == 1
    assert restarts.after_failure(10) == 2
    assert restarts.after_failure(700) == 1


@pytest.mark.parametrize("seed", range(20))
def test_jitter_stays_within_a_quarter(seed: int):
    delay = Restarts(Random(seed)).after_failure(0)
    assert delay is not None
    assert 0.75 <= delay <= 1.25
