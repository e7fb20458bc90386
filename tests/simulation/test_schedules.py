"""The promise itself, small: `make sim` keeps it on more schedules."""

from __future__ import annotations

import subprocess
import sys

from simulation.campaign import Summary, run
from simulation.schedule import draw
from simulation.schedule.values import Answering, Flaw, Leaving, What
from tests.architecture.repository import ROOT

SCHEDULES = 500


def test_nothing_is_broken() -> None:
    summary = Summary()
    for result in run(1, SCHEDULES):
        summary.add(result)
        assert not result.violations, f"python -m simulation --replay {result.schedule.seed} --trace"
    assert summary.schedules == SCHEDULES
    missing = (
        {answering.value for answering in Answering} - {"well"}
        | {what.value for what in What}
        | {f"client {flaw}" for flaw in Flaw} - {"client none"}
        | {f"client leaves by {leaving}" for leaving in Leaving}
    ) - set(summary.faults)
    assert not missing, "a fault that never strikes is not simulated"
    assert len(summary.outcomes) == 6
    assert {"200", "400", "404", "408", "413", "422", "502", "503", "504"} <= set(summary.answers)


DIGESTS = """
from simulation.campaign import run
for result in run(1, 30):
    print(result.schedule.seed, result.digest, result.schedule)
"""


def test_a_seed_is_one_history_bit_for_bit() -> None:
    """In another process, where every set has another order and every object another address."""
    outputs = [
        subprocess.run(
            [sys.executable, "-c", DIGESTS],
            cwd=ROOT,
            env={"PYTHONHASHSEED": hash_seed, "PYTHONMALLOC": malloc},
            capture_output=True,
            check=True,
        ).stdout
        for hash_seed, malloc in (("1", "malloc"), ("2", "pymalloc"))
    ]
    assert outputs[0] == outputs[1]
    assert outputs[0].count(b"\n") == 30


def test_another_seed_is_another_schedule() -> None:
    assert len({repr(draw(seed)) for seed in range(50)}) == 50
