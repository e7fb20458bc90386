"""A simulation that finds nothing proves something only if it finds what is there."""

from __future__ import annotations

import pytest

from simulation.campaign import run
from tests.simulation.planted import PLANTED

SCHEDULES = 500


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_bug_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plant, invariants = PLANTED[name]
    plant(monkeypatch)
    for result in run(1, SCHEDULES):
        found = [violation for violation in result.violations if violation.invariant in invariants]
        if found:
            print(f"{name}: seed {result.schedule.seed}: {found[0].invariant} {found[0].what[:200]}")
            return
    pytest.fail(f"{name} lives through {SCHEDULES} schedules")
