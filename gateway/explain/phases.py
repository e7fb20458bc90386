"""Where the time of one call went: phases without gaps, whose lengths add up to the whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from gateway.explain.record import Record

READ, ADMIT, QUEUE, ATTEMPT = "read", "admit", "queue", "attempt"
FIRST_CONTENT, ANSWER = "first_content", "answer"


class Phase(NamedTuple):
    """A part of a call's life, from one moment to another (monotonic seconds)."""

    name: str
    begin: float
    end: float
    replica: str | None = None


def phases(record: Record) -> Iterator[Phase]:
    """The phases of a call, in their order.

    `read`: from the head of the request until its body was understood. `admit` or,
    when it had to wait, `queue`: until a replica had room. `attempt`: on
    a replica that failed the call or turned it away. `first_content`: from the last dispatch to the first content.
    `answer`: from there to the end.
    """
    if record.parsed is None:
        yield Phase(READ, record.arrived, record.ended)
        return
    yield Phase(READ, record.arrived, record.parsed)
    now = record.parsed
    waiting = ADMIT if record.queued is None else QUEUE
    for attempt in record.former:
        if attempt.dispatched > now:
            yield Phase(waiting, now, attempt.dispatched)
        yield Phase(ATTEMPT, attempt.dispatched, attempt.ended, attempt.replica)
        now = attempt.ended
    if record.dispatched is None:
        yield Phase(waiting, now, record.ended)
        return
    if record.dispatched > now:
        yield Phase(waiting, now, record.dispatched)
    if record.first_content is None:
        yield Phase(ATTEMPT, record.dispatched, record.ended, record.replica)
        return
    yield Phase(FIRST_CONTENT, record.dispatched, record.first_content, record.replica)
    yield Phase(ANSWER, record.first_content, record.ended, record.replica)


def ended_by(record: Record) -> str:
    """Who brought the call to its end: `client`, `gateway` or `engine`."""
    if record.outcome == "client_gone":
        return "client"
    if record.outcome in {"ok", "upstream_error"}:
        return "engine"
    if record.outcome == "client_error" and record.dispatched is not None:
        return "engine"
    return "gateway"
