"""What the gateway is held to."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import compare
from benchmarks.overhead import exit_code
from benchmarks.report import ROWS
from benchmarks.scenarios import SCENARIOS
from benchmarks.systems import SYSTEMS
from benchmarks.targets import TARGETS, Target, Verdict, verdicts

ALL = [scenario.name for scenario in SCENARIOS]
AT_BOUND = {target.figure: target.most for target in TARGETS}


def judge(
    medians: dict[str, float] = AT_BOUND, ratios: dict[str, float] = AT_BOUND, scenarios: list[str] = ALL
) -> list[Verdict]:
    return list(verdicts({"nginx": {}, "edge": medians}, {"edge": ratios}, scenarios))


@pytest.mark.parametrize(
    ("figure", "most", "is_ratio"),
    [
        ("plain_1k.cpu_us", 2.0, True),
        ("plain_16k.cpu_us", 2.2, True),
        ("streams_500.cpu_us", 1.35, True),
        ("latency.added_p50_ms", 0.5, False),
        ("streams_500.failures", 0, False),
        ("streams_500.added_ttft_p50_ms", 1.0, False),
        ("streams_500.pss_mb", 70, False),
        ("start.seconds", 1.0, False),
    ],
)
def test_a_target_has_its_bound(figure, most, is_ratio):
    (target,) = [each for each in TARGETS if each.figure == figure]
    assert (target.most, target.is_ratio) == (most, is_ratio)


def test_there_are_no_targets_but_those():
    assert len(TARGETS) == 8


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.figure)
def test_the_bound_itself_is_met_and_more_is_not(target):
    def found(value: float) -> bool:
        own, ratios = (AT_BOUND, AT_BOUND | {target.figure: value})
        if not target.is_ratio:
            own, ratios = ratios, own
        (verdict,) = [each for each in judge(own, ratios) if each.target is target]
        return verdict.is_met

    assert found(target.most)
    assert not found(target.most + 0.01)


def test_a_ratio_is_judged_and_not_the_figure_it_was_made_of():
    assert all(verdict.is_met for verdict in judge({**AT_BOUND, "plain_1k.cpu_us": 70.0}))


def test_what_was_not_measured_is_not_met_and_says_so():
    found = judge(ratios={})
    short = [verdict for verdict in found if not verdict.is_met]
    assert {verdict.target for verdict in short} == {target for target in TARGETS if target.is_ratio}
    assert all("not measured" in str(verdict) for verdict in short)


def test_cpu_a_chunk_of_a_system_that_fell_behind_is_not_met_and_says_so():
    def chunk(merged: float) -> Verdict:
        (found,) = [
            verdict
            for verdict in judge({**AT_BOUND, "streams_500.merged": merged})
            if verdict.target.figure == "streams_500.cpu_us"
        ]
        return found

    assert chunk(1.1).is_met
    assert not chunk(1.6).is_met
    assert str(chunk(1.6)).startswith("not met")
    assert str(chunk(1.6)).endswith("fell behind: 1.60 events at once")


def test_only_the_targets_of_what_was_run_are_judged():
    figures = {verdict.target.figure for verdict in judge(scenarios=["plain_1k"])}
    assert figures == {"plain_1k.cpu_us", "start.seconds"}


def test_a_run_without_the_product_judges_nothing():
    assert not list(verdicts({"direct": {}, "asgi": AT_BOUND}, {"asgi": AT_BOUND}, ALL))


def test_lines_say_met_or_not_met_with_value_and_bound():
    ratio = Target("CPU a request", "a.b", 2.0, is_ratio=True)
    assert str(Verdict(ratio, 1.5)) == "met      CPU a request: 1.50x nginx (≤ 2.00x)"
    assert str(Verdict(Target("memory", "a.b", 70.0, ".0f", "MB"), 80.0)) == "not met  memory: 80 MB (≤ 70)"
    assert str(Verdict(Target("lost", "a.b", 0.0, ".0f"), 0.0)) == "met      lost: 0 (≤ 0)"


def test_each_target_is_of_a_scenario_and_a_row_shows_it():
    shown = {row.figure for row in ROWS} | {"streams_500.failures"}
    for target in TARGETS:
        assert target.figure.partition(".")[0] in {*ALL, "start"}
        assert target.figure in shown


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.figure)
def test_a_target_is_documented_with_its_bound(target):
    page = Path(__file__).parents[3] / "docs" / "performance.md"
    assert f"\n| {target.label} | {target.bound}" in page.read_text("utf-8")


def test_what_is_added_is_of_scenarios_that_exist():
    assert {figure.partition(".")[0] for figure in compare.ADDED} <= set(ALL)


def test_baseline_and_reference_come_first():
    assert list(SYSTEMS)[:2] == ["direct", "nginx"]


WELL = {"direct": {"failures": 0.0}, "edge": {"failures": 0.0}}
SHORT = Verdict(TARGETS[0], 9.0)


@pytest.mark.parametrize(
    ("found", "judged", "gate", "code"),
    [
        (WELL, [], True, 0),
        (WELL, [Verdict(TARGETS[0], 1.0)], True, 0),
        (WELL, [SHORT], False, 0),
        (WELL, [SHORT], True, 3),
        (WELL, [Verdict(TARGETS[0], None)], True, 3),
        ({**WELL, "edge": {"failures": 1.0}}, [], False, 3),
    ],
)
def test_the_exit_code_tells_of_losses_and_of_targets_where_they_are_a_gate(found, judged, gate, code):
    assert exit_code(found, judged, gate=gate) == code
