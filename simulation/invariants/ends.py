"""I1: every call has exactly one end, and it is the one that its client saw."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from gateway.core.outcome import End, Outcome
from simulation.actors.history import Asked, Dispatch, History, Seen
from simulation.invariants.fairness import is_undisturbed
from simulation.invariants.violation import Violation
from simulation.schedule import Schedule

REQUEST_TIMEOUT = 408


def judge_ends(
    schedule: Schedule, history: History, dispatches: Mapping[str, Sequence[Dispatch]]
) -> Iterator[Violation]:
    """Judge the ends that the gateway told of."""
    ends: dict[str, list[End]] = defaultdict(list)
    for end in history.ends:
        ends[end.request_id].append(end)
    known = {asked.marker: asked for asked in history.asked}
    for marker, told in ends.items():
        if len(told) > 1:
            yield Violation("I1", f"{marker} has {len(told)} ends")
        if marker in known:
            yield from _compare(schedule, known[marker], told[0])
        else:
            yield Violation("I1", f"an end of nobody's request: {told[0]}")
    for marker in dispatches:
        if marker not in ends:
            yield Violation("I1", f"{marker} was dispatched and has no end")
    for asked in history.asked:
        answered_as = b"" if asked.answer is None else asked.answer.headers.get(b"x-request-id", b"")
        if answered_as == asked.marker.encode() and asked.marker not in ends:
            yield Violation("I1", f"{asked.marker} was answered and has no end")


def _compare(schedule: Schedule, asked: Asked, end: End) -> Iterator[Violation]:
    """An end says the same as the client saw."""
    answer = asked.answer
    if end.outcome is Outcome.CLIENT_GONE and is_undisturbed(schedule, asked) and not _was_too_slow(answer):
        yield Violation("I1", f"the client of {asked.marker} is told to have gone, and did not")
    if answer is None:
        return
    if answer.status != end.status and end.outcome is not Outcome.CLIENT_GONE:
        yield Violation("I1", f"{asked.marker} was answered {answer.status}, its end says {end.status}")
    if answer.is_complete and answer.status == 200 and end.outcome is not Outcome.OK:  # noqa: PLR2004 - HTTP's OK
        yield Violation("I1", f"{asked.marker} was answered in full, its end says {end.outcome}")


def _was_too_slow(answer: Seen | None) -> bool:
    """To the plain driver, a client that the guard turned away in the middle of its body looks like one that left."""
    return answer is not None and answer.status == REQUEST_TIMEOUT
