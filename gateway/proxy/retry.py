"""Whether a call that an engine failed is sent again: one pure function, and the only place that says so.

A call is given to at most two engines, and never again once content has reached the client. Three things stand outside
the count, since no engine worked on the call: a kept connection that closes before any byte came (RFC 9110, section
9.2.2, lets a client repeat what it knows was not processed), an engine that cannot be reached, and one that turned the
call away for load.
"""

from __future__ import annotations

import math
from enum import Enum
from typing import NamedTuple

MAX_DISPATCHES = 2
MAX_REPLAYED_BYTES = 1 << 20
"""A larger body is sent once: sending it again costs more than most calls."""


class Fault(Enum):
    """How an engine failed a call."""

    REFUSED = "refused"  # no connection
    OURS = "ours"  # no connection, for lack of something on our side
    STALE = "stale"  # a kept connection closed before any byte came
    LOST = "lost"  # closed, reset or ended before the answer was complete
    GARBAGE = "garbage"  # an answer that is not one
    FAILED = "failed"  # an error that is the engine's own
    BUSY = "busy"  # turned away for load
    STUCK = "stuck"  # the engine does nothing, by its own count of steps
    TIMEOUT = "timeout"  # nothing in time


class Decision(Enum):
    """What to do about a fault."""

    RESEND = "resend"  # same replica, fresh connection
    MOVE = "move"  # another replica; if there is none and the fault is `BUSY`, back into the queue
    GIVE_UP = "give up"


class Situation(NamedTuple):
    """What is known of the call when the fault comes. Times in seconds."""

    dispatches: int
    content_sent: bool = False
    resent: bool = False
    """A stale connection was replaced before."""
    is_ready: bool = True
    """The replica may still be sent work: it was not taken out or told to drain since."""
    body_bytes: int = 0
    is_suspect: bool = False
    """An engine died with this very request before."""
    time_left: float = math.inf
    usual_wait: float = 0.0
    """How long the model usually takes to its first content."""
    has_budget: bool = True
    """Not too large a part of all calls is sent again already."""


UNTOUCHED = frozenset({Fault.REFUSED, Fault.BUSY})
"""The engine did nothing for the call."""
_FINAL = frozenset({Fault.TIMEOUT, Fault.OURS})
"""Nobody else would do better: the time is over, or the next connection cannot be made either."""


def decide(fault: Fault, situation: Situation) -> Decision:
    """What to do about `fault`."""
    if situation.content_sent or fault in _FINAL:
        return Decision.GIVE_UP
    if fault is Fault.STALE and situation.is_ready and not situation.resent:
        return Decision.RESEND
    has_time = situation.time_left > situation.usual_wait
    if fault in UNTOUCHED:
        return Decision.MOVE if has_time else Decision.GIVE_UP
    is_first = situation.dispatches < MAX_DISPATCHES and situation.body_bytes <= MAX_REPLAYED_BYTES
    may_cost = situation.has_budget and not situation.is_suspect
    return Decision.MOVE if has_time and is_first and may_cost else Decision.GIVE_UP
