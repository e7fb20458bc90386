"""Whether a call that an engine failed is sent again: one pure function, and the only place that says so.

A call is dispatched at most twice, and never again once content has reached the client. A kept connection that closes
before any byte came is the exception outside the count: the engine almost surely never read the request (RFC 9110,
section 9.2.2, lets a client repeat what it knows was not processed).
"""

from __future__ import annotations

from enum import Enum

MAX_DISPATCHES = 2


class Fault(Enum):
    """How an engine failed a call."""

    REFUSED = "refused"  # no connection
    STALE = "stale"  # a kept connection closed before any byte came
    LOST = "lost"  # closed, reset or ended before the answer was complete
    GARBAGE = "garbage"  # an answer that is not one
    FAILED = "failed"  # an error that is the engine's own
    BUSY = "busy"  # turned away for load
    TIMEOUT = "timeout"  # nothing in time


class Decision(Enum):
    """What to do about a fault."""

    RESEND = "resend"  # same replica, fresh connection
    MOVE = "move"  # another replica
    GIVE_UP = "give up"


_MOVABLE = frozenset({Fault.REFUSED, Fault.STALE, Fault.LOST, Fault.GARBAGE, Fault.FAILED, Fault.BUSY})


def decide(fault: Fault, *, content_sent: bool, dispatches: int, resent: bool) -> Decision:
    """What to do about `fault` after `dispatches` dispatches; `resent` if a stale connection was replaced before."""
    if content_sent:
        return Decision.GIVE_UP
    if fault is Fault.STALE and not resent:
        return Decision.RESEND
    if fault in _MOVABLE and dispatches < MAX_DISPATCHES:
        return Decision.MOVE
    return Decision.GIVE_UP
