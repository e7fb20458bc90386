"""Figures beside each other, round by round."""

from __future__ import annotations

import pytest

from benchmarks import compare

CPU = "plain_1k.cpu_us"
P50 = "latency.p50_ms"
ADDED = "latency.added_p50_ms"


def rounds(*pairs: tuple[float, float], figure: str = CPU) -> list[dict[str, dict[str, float]]]:
    return [{"nginx": {figure: nginx}, "edge": {figure: edge}} for nginx, edge in pairs]


def test_a_ratio_is_the_median_of_the_rounds_ratios_not_the_ratio_of_the_medians():
    found = compare.ratios(rounds((10, 20), (40, 60), (30, 90)), "nginx")
    assert found == {"edge": {CPU: 2.0}}  # of 2.0, 1.5 and 3.0; the medians' would be 60 / 30


def test_the_reference_has_no_ratio_to_itself():
    assert "nginx" not in compare.ratios(rounds((10, 20)), "nginx")


def test_without_the_reference_there_are_no_ratios():
    assert compare.ratios([{"edge": {CPU: 5.0}}], "nginx") == {"edge": {}}


def test_what_a_system_adds_is_taken_from_the_baseline_of_the_same_round():
    measured = {"direct": {P50: 0.25}, "edge": {P50: 0.75, "streams_500.ttft_p95_ms": 3.0}}
    found = compare.complete(measured, "direct")
    assert found["edge"][ADDED] == 0.5
    assert "streams_500.added_ttft_p95_ms" not in found["edge"]  # the baseline has no such figure
    assert ADDED not in found["direct"]


@pytest.mark.parametrize("nginx", [-0.2, 0.0, 0.05])
def test_next_to_nothing_added_gives_no_ratio(nginx):
    assert compare.ratios(rounds((nginx, 0.4), figure=ADDED), "nginx") == {"edge": {}}


def test_a_ratio_that_most_rounds_do_not_have_is_none():
    assert compare.ratios(rounds((0.2, 0.4), (0.0, 0.4), (0.01, 0.4), figure=ADDED), "nginx") == {"edge": {}}
    two = compare.ratios(rounds((0.2, 0.4), (0.0, 0.4), (0.1, 0.4), figure=ADDED), "nginx")
    assert two["edge"][ADDED] == pytest.approx(3.0)


def test_failures_are_added_up_for_each_load_and_for_all():
    measured = {"edge": {"plain_1k.lost": 1.0, "streams_500.lost": 2.0, "streams_500.unfinished": 3.0}}
    found = compare.complete(measured, "direct")["edge"]
    assert (found["plain_1k.failures"], found["streams_500.failures"], found["failures"]) == (1.0, 5.0, 6.0)


def test_a_summary_has_medians_but_the_sum_of_what_was_lost():
    three = [
        compare.complete({"edge": {CPU: cpu, "plain_1k.lost": lost}}, "direct")
        for cpu, lost in [(1.0, 0.0), (5.0, 0.0), (2.0, 1.0)]
    ]
    found = compare.summary(three)["edge"]
    assert found[CPU] == 2.0
    assert found["failures"] == found["plain_1k.lost"] == found["plain_1k.failures"] == 1.0


def test_a_figure_that_some_rounds_lack_has_the_median_of_the_others():
    found = compare.summary([{"edge": {CPU: 1.0}}, {"edge": {}}, {"edge": {CPU: 3.0}}])
    assert found["edge"][CPU] == 2.0


def test_what_was_lost_has_no_ratio():
    lost = [
        {"nginx": {"plain_1k.lost": 1.0, "failures": 1.0}, "edge": {"plain_1k.lost": 2.0, "failures": 2.0}}
    ]
    assert compare.ratios(lost, "nginx") == {"edge": {}}
