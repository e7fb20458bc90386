"""The printed table."""

from __future__ import annotations

from benchmarks import report
from benchmarks.targets import TARGETS

SCENARIOS = ["plain_1k", "streams_500"]
DIRECT = {
    "plain_1k.rate": 10_000.0,
    "plain_1k.engine_cpu_us": 50.0,
    "plain_1k.engine_cores": 0.5,
    "plain_1k.client_cores": 0.3,
    "latency.p50_ms": 0.5,
    "failures": 0.0,
}
NGINX = {"plain_1k.cpu_us": 40.0, "latency.added_p50_ms": 0.1, "failures": 0.0}
EDGE = {
    "plain_1k.rate": 8_000.0,
    "plain_1k.cpu_us": 60.0,
    "plain_1k.engine_cpu_us": 51.0,
    "latency.added_p50_ms": 0.25,
    "failures": 2.0,
}
RATIOS = {"plain_1k.cpu_us": 1.6, "latency.added_p50_ms": 2.4}


def table(direct=DIRECT, edge=EDGE, *, nginx=NGINX, ratios=RATIOS, is_shared=True) -> list[str]:
    systems = {"direct": direct} | ({} if nginx is None else {"nginx": nginx}) | {"edge": edge}
    return list(
        report.lines(systems, {"edge": ratios}, title="title", scenarios=SCENARIOS, is_shared=is_shared)
    )


def line(lines: list[str], label: str) -> list[str]:
    (found,) = [each for each in lines if each.startswith(label)]
    return found.removeprefix(label).split()


def test_cpu_has_its_ratio_to_nginx_and_its_target_beside_it():
    assert line(table(), "  CPU µs/request") == ["50.0", "40.0", "60.0", "(1.60x)", "≤", "2.00x"]


def test_latency_is_what_a_system_adds():
    found = line(table(), "100 requests/s: p50 ms")
    assert found == ["0.50", "+0.10", "+0.25", "(2.40x)", "≤", "0.50"]


def test_without_nginx_the_ratios_are_to_nothing():
    found = table(nginx=None, ratios={})
    assert line(found, "  CPU µs/request") == ["50.0", "60.0", "(-)", "≤", "2.00x"]
    assert line(found, "lost or unfinished") == ["0", "2", "≤", "0"]


def test_losses_are_shown_as_they_are():
    assert line(table(), "lost or unfinished") == ["0", "0", "2", "≤", "0"]


def test_what_was_not_measured_has_no_line():
    assert not [each for each in table() if "streams" in each]


def test_it_says_where_engine_and_client_were_the_limit():
    at_limit = {**DIRECT, "plain_1k.engine_cores": 0.65}
    assert "plain_1k/direct" in table(direct=at_limit)[-1]
    assert "plain_1k/direct" not in table(direct=at_limit, is_shared=False)[-1]
    assert "plain_1k/direct" not in table()[-1]


def test_it_says_when_others_disturbed():
    assert "0.60 cores" in table(edge={**EDGE, "streams_500.other_cores": 0.6})[-1]


def full_table() -> list[str]:
    full = {
        figure: 123_456.0 if figure.endswith(".rate") else 999.0
        for row in report.ROWS
        for figure in (row.figure, row.baseline or row.figure)
    }
    full |= {f"{name}.{who}_cores": 1.0 for name in SCENARIOS for who in ("engine", "client", "other")}
    systems = dict.fromkeys(["direct", "nginx", "edge", "asgi"], full)
    own = {row.figure: 10.5 for row in report.ROWS}
    ratios = {"edge": own, "asgi": own}
    return list(report.lines(systems, ratios, title="two\nlines", scenarios=SCENARIOS, is_shared=True))


def test_a_full_table_has_no_more_than_25_lines():
    assert len("\n".join(full_table()).splitlines()) <= 25


def test_a_row_of_a_full_table_fits_a_page():
    rows = full_table()[1 : 2 + len(report.ROWS)]
    assert max(map(len, rows)) <= 100


def test_every_target_is_beside_its_row():
    text = "\n".join(full_table())
    assert all(target.bound in text for target in TARGETS)
