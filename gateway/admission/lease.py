"""A call's hold on a replica."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Protocol

from gateway.balancer.work import NOTHING, Work
from gateway.core.call import Call
from gateway.core.outcome import Choice, Usage
from gateway.fleet.replica import Replica


class Ended(Enum):
    """How a hold ended, as far as the replica's standing goes."""

    WELL = "well"  # the engine did its part, also when that was to refuse a bad request
    UNJUDGED = "unjudged"  # the client left or its time was over: says nothing of the engine
    BUSY = "busy"  # the engine turned the call away for load
    REFUSED = "refused"  # no connection
    FAILED = "failed"  # the engine broke a call that was its to serve


class Account(Protocol):
    """Where a call was charged."""

    def settle(self, call: Call, charged: float, ended: Ended, usage: Usage | None) -> None:
        """The call is over: charge it with what it did cost, instead of `charged`."""
        ...


class Lease:
    """One slot of one replica. Whoever holds it releases it, once; releasing again does nothing.

    `charged` is what the call was thought to cost, on `account`.
    """

    __slots__ = (
        "_on_release",
        "_prefill",
        "account",
        "call",
        "charged",
        "choice",
        "model",
        "replica",
        "work",
    )

    def __init__(
        self,
        replica: Replica,
        model: str,
        call: Call,
        account: Account,
        charged: float,
        on_release: Callable[[Lease, Ended, Usage | None], None],
        choice: Choice | None = None,
        work: Work = NOTHING,
    ) -> None:
        self.replica = replica
        self.choice = choice
        """Why this replica, where the policy tells."""
        self.work = work
        """What the policy charges the replica for the call."""
        self.model = model
        """The replica's own name for the model."""
        self.call = call
        self.account = account
        self.charged = charged
        self._on_release: Callable[[Lease, Ended, Usage | None], None] | None = on_release
        replica.in_flight += 1
        replica.dispatches += 1
        self._prefill = work.prefill
        replica.prefill_tokens += work.prefill
        replica.decode_tokens += work.decode

    def __repr__(self) -> str:
        return f"<Lease {self.replica.endpoint.id} {'held' if self._on_release else 'released'}>"

    def began(self) -> None:
        """The answer has begun: the prompt is computed."""
        self.replica.prefill_tokens -= self._prefill
        self._prefill = 0

    def release(self, ended: Ended, usage: Usage | None = None) -> None:
        """Give the slot back; the next in the queue gets it before this returns. `usage`, where the engine told it."""
        on_release, self._on_release = self._on_release, None
        if on_release is None:
            return
        self.replica.in_flight -= 1
        self.began()
        self.replica.decode_tokens -= self.work.decode
        on_release(self, ended, usage)
