"""I3 and I8: how often a call is sent, when, and to whom."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from gateway.fleet.endpoint import Condition, Endpoint
from simulation.actors.history import Asked, Dispatch, History
from simulation.invariants.violation import Violation
from simulation.schedule import Schedule

MOST, MOST_ROUTED = 2, 3
"""Dispatches of one call that an engine may have worked on, and the same where other models stand in. One over a kept connection that died untouched does not
count, once, nor does any that was turned away for load."""


FATAL = 2


def judge_dispatches(
    schedule: Schedule, history: History, dispatches: Mapping[str, Sequence[Dispatch]]
) -> Iterator[Violation]:
    """Judge what the engines got."""
    most = MOST if schedule.settings.route == "none" else MOST_ROUTED
    known = {asked.marker: asked for asked in history.asked}
    for marker, sent in dispatches.items():
        asked = known.get(marker)
        if asked is None:
            yield Violation("I9", f"an engine was asked for {marker}, which nobody asked")
        else:
            yield from _judge_repeats(asked, sent, most)
    yield from _judge_poison(history)
    for dispatch in history.dispatches:
        problem = _problem(dispatch, history.seen_at(dispatch.sent).get(dispatch.engine))
        if problem is not None:
            yield Violation("I8", f"{dispatch.marker} was sent to {dispatch.engine} {problem}")
    for number, address in history.connects:
        if not any(_is_at(*each, address) for each in history.seen_at(number).values()):
            yield Violation("I8", f"a connection was made to {address}, where no engine was ready")


def _judge_poison(history: History) -> Iterator[Violation]:
    """A request is not sent to a third engine if two were known to have died of its body when it came."""
    arrived = {end.request_id: end.arrived for end in history.ends}
    known: list[float] = []
    for dispatch in history.dispatches:
        if not dispatch.is_poison:
            continue
        came = arrived.get(dispatch.marker, 0.0)
        if sum(at < came for at in known) >= FATAL:
            yield Violation("I3", f"{dispatch.marker} was sent though {FATAL} engines had died of its body")
        at = _known_dead(history, dispatch)
        if at is not None:
            known.append(at)


def _known_dead(history: History, dispatch: Dispatch) -> float | None:
    """When the gateway knew that an engine had died of `dispatch`; `None` if it never did.

    What was still on its way when the engine died looks like a sign of life, and so does a whole answer of which only
    the end of the connection was missing.
    """
    ended, seen = dispatch.socket.ended_by_peer, history.seen_dead(dispatch.engine, dispatch.sent)
    if ended is None or seen is None:
        return None
    others = [each for each in history.dispatches if each.address == dispatch.address]
    if any(_last_sign(each) > ended for each in others):
        return None
    return max(ended, seen)


def _last_sign(dispatch: Dispatch) -> float:
    """When the gateway last took something on the connection of `dispatch` for a sign of life."""
    socket = dispatch.socket
    return max(socket.read_at, (socket.ended_by_peer or 0.0) if dispatch.is_complete else 0.0)


def _judge_repeats(asked: Asked, sent: Sequence[Dispatch], most: int) -> Iterator[Violation]:
    """How often one call was sent, and when."""
    untouched = sum(dispatch.is_reused and dispatch.heard_bytes == 0 for dispatch in sent)
    worked_on = sum(not dispatch.turns_away for dispatch in sent) - min(untouched, 1)
    if worked_on > most:
        yield Violation("I3", f"engines may have worked {worked_on} times on {asked.marker}")
    for dispatch in sent:
        if asked.answer is not None and dispatch.sent > asked.answer.began:
            yield Violation("I3", f"{asked.marker} was dispatched again when its answer had begun")


def _is_at(endpoint: Endpoint, condition: Condition, address: str) -> bool:
    return condition is Condition.READY and str(endpoint.address).removeprefix("http://") == address


def _problem(dispatch: Dispatch, seen: tuple[Endpoint, Condition] | None) -> str | None:
    """Why a dispatch should not have gone where it went, `None` if it should."""
    if seen is None:
        return "which was not published"
    endpoint, condition = seen
    if not _is_at(endpoint, condition, dispatch.address):
        return f"at {dispatch.address}, while it was {condition} at {endpoint.address}"
    if endpoint.api_key != dispatch.key:
        return "with another key"
    if dispatch.model not in {upstream for _, upstream in endpoint.models}:
        return f"for its model {dispatch.model}, which it has not"
    return None
