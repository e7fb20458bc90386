"""When requests are due."""

from __future__ import annotations

from itertools import pairwise

import pytest

from benchmarks.arrivals import poisson, staggered


def test_the_same_seed_gives_the_same_instants_and_another_seed_others():
    assert poisson(100, 3, seed=1) == poisson(100, 3, seed=1)
    assert poisson(100, 3, seed=1) != poisson(100, 3, seed=2)


def test_instants_rise_and_stay_in_the_window():
    instants = poisson(50, 2, seed=3)
    assert instants == sorted(instants)
    assert 0 <= instants[0] <= instants[-1] < 2


def test_the_rate_and_the_spread_of_a_poisson_process():
    instants = poisson(1000, 100, seed=4)
    gaps = [b - a for a, b in pairwise(instants)]
    mean = sum(gaps) / len(gaps)
    deviation = (sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) ** 0.5
    assert mean == pytest.approx(0.001, rel=0.02)
    assert deviation == pytest.approx(mean, rel=0.05)


def test_staggered_instants_are_even_and_end_before_the_end():
    assert staggered(4, 2.0) == [0.0, 0.5, 1.0, 1.5]
    assert staggered(3, 0.0) == [0.0, 0.0, 0.0]
