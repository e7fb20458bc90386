"""What the ends of a call mean: to the retry rules, to the replica, and to the client."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.admission import Ended
from gateway.core.errors import (
    ConnectFailed,
    DeadlineExceeded,
    Exhausted,
    GatewayError,
    QueueFull,
    StoreUnavailable,
    UpstreamLost,
    UpstreamTimeout,
)
from gateway.proxy.retry import Fault
from gateway.transport import Loss

FAULT_OF: Mapping[Loss, Fault] = {
    Loss.REFUSED: Fault.REFUSED,
    Loss.OURS: Fault.OURS,
    Loss.STALE: Fault.STALE,
    Loss.LOST: Fault.LOST,
    Loss.GARBAGE: Fault.GARBAGE,
}
"""What a connection that was lost is to the retry rules."""
ENDED_BY: Mapping[Fault, Ended] = {
    Fault.REFUSED: Ended.REFUSED,
    Fault.BUSY: Ended.BUSY,
    Fault.OURS: Ended.UNJUDGED,
}
"""How a fault ends the lease; any other is the engine's failure."""


def too_long() -> DeadlineExceeded:
    """The end of what took longer than it may."""
    return DeadlineExceeded("The request took longer than it may.")


def exhausted() -> Exhausted:
    """The refusal of what there is no memory, descriptor or port for."""
    return Exhausted("The gateway has no room for one more request now. Try again later.", retry_after=1)


def unrecorded() -> StoreUnavailable:
    """The refusal of what could not be written down."""
    return StoreUnavailable("Usage cannot be recorded now. Try again later.", retry_after=5)


def error_of(fault: Fault, retry_after: int) -> GatewayError:
    """What the client is told when a fault is final."""
    if fault is Fault.REFUSED:
        return ConnectFailed("The engine cannot be reached. Try again later.", retry_after=retry_after)
    if fault is Fault.BUSY:
        return QueueFull("Every engine of this model is busy. Try again later.", retry_after=retry_after)
    if fault is Fault.OURS:
        return exhausted()
    if fault is Fault.TIMEOUT or fault is Fault.STUCK:
        return UpstreamTimeout("The engine did not answer in time.")
    return UpstreamLost("The engine failed before it answered.")
