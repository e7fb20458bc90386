"""The states of an Exchange, and which may follow which.

READING     credentials checked, the body is arriving
PARSING     a large body is read in another thread
RESERVING   the limits that it is under are counted somewhere else
WAITING     in the model's queue
DISPATCHED  sent to an engine, nothing heard
HEAD        the engine answered, no content of it has reached the client
STREAMING   content has reached the client
DONE        over, well or refused by the engine for the client's own fault
FAILED      over, badly

Back to RESERVING, or from WAITING to WAITING, is the way to another model: `fallback`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class State(StrEnum):
    """Where a call is in its life. A string, because an `Enum` hashes itself in Python, twice for each transition."""

    READING = "reading"
    PARSING = "parsing"
    RESERVING = "reserving"
    WAITING = "waiting"
    DISPATCHED = "dispatched"
    HEAD = "head"
    STREAMING = "streaming"
    DONE = "done"
    FAILED = "failed"


READING, PARSING, RESERVING, WAITING, DISPATCHED, HEAD, STREAMING, DONE, FAILED = State
NEXT: Mapping[State, frozenset[State]] = {
    READING: frozenset({PARSING, RESERVING, WAITING, DISPATCHED, FAILED}),
    PARSING: frozenset({RESERVING, WAITING, DISPATCHED, FAILED}),
    RESERVING: frozenset({RESERVING, WAITING, DISPATCHED, FAILED}),
    WAITING: frozenset({RESERVING, WAITING, DISPATCHED, FAILED}),
    DISPATCHED: frozenset({HEAD, RESERVING, DISPATCHED, WAITING, FAILED}),
    HEAD: frozenset({STREAMING, RESERVING, DISPATCHED, WAITING, DONE, FAILED}),
    STREAMING: frozenset({DONE, FAILED}),
    DONE: frozenset(),
    FAILED: frozenset(),
}
EARLY = frozenset({READING, PARSING, RESERVING})
"""Nothing was asked of a queue or an engine."""
OVER = frozenset({DONE, FAILED})
