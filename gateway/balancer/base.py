"""The contract of a policy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from gateway.balancer.work import Work
from gateway.core.call import Call
from gateway.core.outcome import Choice, Usage
from gateway.fleet.replica import Replica

MOST_WEIGHED = 16
"""Candidates that a `Choice` may name."""


class Policy(Protocol):
    """Chooses where one call goes."""

    @property
    def choice(self) -> Choice | None:
        """Why the last `choose` answered as it did; `None` from a policy that does not tell.

        Read in the same synchronous step. A policy that scores makes it of the numbers it compared; at most
        `MOST_WEIGHED` candidates, since it is kept with the call.
        """
        ...

    def choose(self, replicas: Sequence[Replica], call: Call) -> Replica | None:
        """Return a replica for `call` that has room, `None` when none has any.

        `replicas` may be sent work and may be empty. Counts nothing: the caller counts what it was given, in the same
        synchronous step.
        """
        ...

    def took(self, replica: Replica, call: Call) -> Work:
        """`replica` was given `call`: what that will cost it, to be charged to it. In the step of the choice."""
        ...

    def ended(self, replica: Replica, work: Work, usage: Usage) -> None:
        """A call that was charged as `work` is over, and this is what the engine counted."""
        ...
