"""Many simulations, one after another, and what they come to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from simulation.course import Result, simulate
from simulation.schedule import draw


def run(first_seed: int, schedules: int) -> Iterator[Result]:
    """Simulate the schedules of so many seeds in a row. What a simulation raises is a bug in itself, and says which."""
    for seed in range(first_seed, first_seed + schedules):
        try:
            result = simulate(draw(seed))
        except Exception as error:
            error.add_note(f"in the simulation of seed {seed}")
            raise
        yield result


class Summary:
    """Adds up results."""

    def __init__(self) -> None:
        self.schedules = 0
        self.requests = 0
        self.dispatches = 0
        self.virtual_seconds = 0.0
        self.answers: Counter[str] = Counter()
        """What clients saw, probes included."""
        self.outcomes: Counter[str] = Counter()
        """What the gateway says of its calls."""
        self.faults: Counter[str] = Counter()
        self.broken: Counter[str] = Counter()
        """Violations by invariant."""

    def add(self, result: Result) -> None:
        """Count one more."""
        history = result.history
        self.schedules += 1
        self.virtual_seconds += result.virtual_seconds
        self.dispatches += len(history.dispatches)
        for asked in history.asked:
            if asked.was_begun:
                self.requests += 1
                self.answers[_answer(asked.answer.status if asked.answer else None, asked.left)] += 1
        self.outcomes.update(end.outcome.value for end in history.ends)
        self.faults.update(history.faults)
        self.broken.update(violation.invariant for violation in result.violations)


def _answer(status: int | None, left: bool) -> str:
    if status is not None:
        return str(status)
    return "left" if left else "none"
