"""`python -m simulation`, as a person sees it."""

from __future__ import annotations

import pytest
import typer
from typer.testing import CliRunner

from gateway.proxy.proxy import Proxy
from simulation.__main__ import main
from simulation.schedule.draw import CALM

SEED = 7
app = typer.Typer()
app.command()(main)


def ran(*arguments: str) -> tuple[int, list[str]]:
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.output.splitlines()


def test_a_table_sums_up_what_was_run() -> None:
    code, lines = ran("--schedules", "3", "--seed", str(SEED))
    assert code == 0
    table = dict(line.split(maxsplit=1) for line in lines if not line.startswith(("virtual", "wall")))
    assert table["schedules"] == "3"
    assert table["violations"] == "0"
    assert set(table) == {"schedules", "requests", "answers", "outcomes", "faults", "violations"}


def test_what_is_broken_is_told_with_all_that_is_needed_to_see_it_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Proxy, "sweep", lambda _: None)
    code, lines = ran("--schedules", "3", "--seed", str(SEED))
    assert code == 1
    (replay,) = {line for line in lines if f"--replay {SEED}" in line}
    assert replay.split(maxsplit=1) == ["replay", f"python -m simulation --replay {SEED} --trace"]
    assert f"seed {SEED}" in lines
    assert any(line.startswith("I10 ") for line in lines)
    assert any(line.startswith("engine-0 at ") for line in lines)


def test_a_replay_shows_the_schedule_and_with_a_trace_what_came_of_it() -> None:
    code, shown = ran("--replay", str(SEED))
    assert code == 0
    assert shown[0] == f"schedule {SEED}, calm from {CALM} s on"
    assert ran("--replay", str(SEED)) == (code, shown)
    _, traced = ran("--replay", str(SEED), "--trace")
    assert len(traced) > 2 * len(shown)
    assert set(shown) <= set(traced)
