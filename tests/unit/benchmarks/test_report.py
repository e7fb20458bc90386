"""The printed table."""

from __future__ import annotations

from benchmarks import report

SCENARIOS = ["plain_1k", "streams_500"]
DIRECT = {
    "plain_1k.rate": 10_000.0,
    "plain_1k.engine_cpu_us": 50.0,
    "plain_1k.engine_cores": 0.5,
    "plain_1k.client_cores": 0.3,
    "latency.p50_ms": 0.5,
    "failures": 0.0,
}
EDGE = {
    "plain_1k.rate": 8_000.0,
    "plain_1k.cpu_us": 60.0,
    "plain_1k.engine_cpu_us": 51.0,
    "latency.p50_ms": 0.75,
    "failures": 2.0,
}


def table(direct=DIRECT, edge=EDGE, *, is_shared=True) -> list[str]:
    return list(
        report.lines(
            {"direct": direct, "edge": edge}, title="title", scenarios=SCENARIOS, is_shared=is_shared
        )
    )


def line(lines: list[str], label: str) -> list[str]:
    (found,) = [each for each in lines if each.startswith(label)]
    return found.removeprefix(label).split()


def test_cpu_is_set_against_the_engines_own():
    assert line(table(), "  CPU µs/request") == ["50.0", "60.0", "(1.20x)"]


def test_latency_is_what_a_system_adds():
    assert line(table(), "100 requests/s: p50 ms") == ["0.50", "+0.25"]


def test_losses_are_shown_as_they_are():
    assert line(table(), "lost or unfinished") == ["0", "2"]


def test_what_was_not_measured_has_no_line():
    assert not [each for each in table() if "streams" in each]


def test_it_says_where_engine_and_client_were_the_limit():
    at_limit = {**DIRECT, "plain_1k.engine_cores": 0.65}
    assert "plain_1k/direct" in table(direct=at_limit)[-1]
    assert "plain_1k/direct" not in table(direct=at_limit, is_shared=False)[-1]
    assert "plain_1k/direct" not in table()[-1]


def test_it_says_when_others_disturbed():
    assert "0.60 cores" in table(edge={**EDGE, "streams_500.other_cores": 0.6})[-1]


def test_a_full_table_has_no_more_than_25_lines():
    full = {row.figure: 1.0 for row in report.ROWS} | {
        row.baseline: 1.0 for row in report.ROWS if row.baseline
    }
    full |= {f"{name}.{who}_cores": 1.0 for name in SCENARIOS for who in ("engine", "client", "other")}
    assert len(table(direct=full, edge=full)) <= 25
    rows = [each for each in table(direct=full, edge=full) if each.startswith(report.ROWS[0].label[:5])]
    assert rows
    assert max(map(len, rows)) <= 100
