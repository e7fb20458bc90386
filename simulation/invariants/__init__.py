"""What must hold after every schedule, whatever happened in it.

The numbers are those of `docs/simulation.md`. What is held when nothing may be held (I6) and whether all recovers (I10)
is looked at while the simulation runs; the rest is judged here, from the history.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from simulation.actors.history import Dispatch, History
from simulation.invariants.answers import judge_answers
from simulation.invariants.dispatches import judge_dispatches
from simulation.invariants.ends import judge_ends
from simulation.invariants.violation import Violation
from simulation.schedule import Schedule

__all__ = ["Violation", "judge"]


def judge(schedule: Schedule, history: History) -> Iterator[Violation]:
    """Everything that does not hold."""
    for invariant, what in history.problems:
        yield Violation(invariant, what)
    dispatches: dict[str, list[Dispatch]] = defaultdict(list)
    for dispatch in history.dispatches:
        dispatches[dispatch.marker].append(dispatch)
    yield from judge_ends(schedule, history, dispatches)
    yield from judge_dispatches(schedule, history, dispatches)
    for asked in history.asked:
        yield from judge_answers(schedule, asked, dispatches.get(asked.marker, []))
