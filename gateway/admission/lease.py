"""A call's hold on a replica."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from gateway.core.outcome import Choice
from gateway.fleet.replica import Replica


class Ended(Enum):
    """How a hold ended, as far as the replica's standing goes."""

    WELL = "well"  # the engine did its part, also when that was to refuse a bad request
    UNJUDGED = "unjudged"  # the client left or its time was over: says nothing of the engine
    BUSY = "busy"  # the engine turned the call away for load
    REFUSED = "refused"  # no connection
    FAILED = "failed"  # the engine broke a call that was its to serve


class Lease:
    """One slot of one replica. Whoever holds it releases it, once; releasing again does nothing."""

    __slots__ = ("_on_release", "choice", "model", "replica")

    def __init__(
        self,
        replica: Replica,
        model: str,
        on_release: Callable[[Replica, Ended], None],
        choice: Choice | None = None,
    ) -> None:
        self.replica = replica
        self.choice = choice
        """Why this replica, where the policy tells."""
        self.model = model
        """The replica's own name for the model."""
        self._on_release: Callable[[Replica, Ended], None] | None = on_release
        replica.in_flight += 1
        replica.dispatches += 1

    def __repr__(self) -> str:
        return f"<Lease {self.replica.endpoint.id} {'held' if self._on_release else 'released'}>"

    def release(self, ended: Ended) -> None:
        """Give the slot back; the next in the queue gets it before this returns."""
        on_release, self._on_release = self._on_release, None
        if on_release is None:
            return
        self.replica.in_flight -= 1
        on_release(self.replica, ended)
