"""Many processes at one limit, on a real server. The long form is `python -m tests.support.hammer`."""

from __future__ import annotations

import pytest

from gateway.ratelimit.base import Rule, Unit
from tests.support import valkey
from tests.support.hammer import Given, Round, judge, play

PROCESSES = 8
WINDOW = Rule("w", Unit.REQUESTS, 4, 1.0)
SLOTS = Rule("s", Unit.SLOTS, 2, None)


def test_processes_together_are_never_let_more_than_the_limit() -> None:
    rounds = [Round(seed, PROCESSES, 0.5) for seed in (3, 5, 6, 8, 12)]
    with valkey.server() as server:
        verdicts = list(play(rounds, server))
    assert [verdict.worst for verdict in verdicts if verdict.is_over] == []
    # A limit that nobody reaches proves nothing.
    assert all(max(verdict.worst) > 0.9 for verdict in verdicts), verdicts
    assert sum(verdict.alone for verdict in verdicts) == 0


def test_to_look_first_and_count_then_is_caught() -> None:
    with valkey.server() as server:
        [verdict] = play([Round(1, PROCESSES, 0.5, naive=True)], server)
    assert verdict.is_over


@pytest.mark.parametrize(
    ("at", "worst"),
    [
        pytest.param([0.0, 0.1, 0.2, 0.9], 1.0, id="as many as may be"),
        pytest.param([0.0, 0.1, 0.2, 0.9, 0.99], 1.25, id="one more"),
        pytest.param([0.9, 0.95, 0.99, 1.1, 1.2], 1.25, id="one more over an edge"),
        pytest.param([0.0, 0.1, 0.2, 0.9, 1.05], 1.0, id="the first is forgotten"),
    ],
)
def test_the_judge_sees_one_too_many_in_any_window(at, worst) -> None:
    given = [Given(time, time + 0.001, time + 5, (1,)) for time in at]
    assert judge([WINDOW], given) == (worst,)


def test_the_judge_sees_one_too_many_at_once() -> None:
    given = [Given(0, 0.1, 0.5, (1,)), Given(0, 0.2, 0.6, (1,)), Given(0, 0.3, 0.7, (1,))]
    assert judge([SLOTS], given) == (1.5,)
