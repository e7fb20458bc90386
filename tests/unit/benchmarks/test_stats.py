"""Quantiles and medians."""

from __future__ import annotations

import pytest

from benchmarks.stats import medians, quantile


@pytest.mark.parametrize(
    ("share", "value"), [(0.0, 1), (0.01, 1), (0.5, 50), (0.501, 51), (0.95, 95), (0.99, 99), (1.0, 100)]
)
def test_a_quantile_is_a_value_that_was_measured(share, value):
    assert quantile([*range(100, 0, -1)], share) == value


def test_nothing_has_no_quantile():
    assert quantile([], 0.5) is None


def test_medians_are_over_the_rounds_that_have_the_figure():
    assert medians([{"a": 1.0, "b": 5.0}, {"a": 9.0}, {"a": 2.0, "b": 7.0}]) == {"a": 2.0, "b": 6.0}
