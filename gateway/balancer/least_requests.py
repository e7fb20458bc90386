"""The replica with the fewest of our calls in flight, in turn among equals.

All replicas are looked at: in one gateway process the counts are exact, so two random choices would only be worse. The
turn matters: without it an idle pool sends everything to its first member.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.balancer.base import MOST_WEIGHED, Policy
from gateway.balancer.work import NOTHING, Work
from gateway.core.call import Call
from gateway.core.outcome import Choice, Usage
from gateway.fleet.replica import Replica


class LeastRequests:
    """Least in flight relative to what a replica may hold."""

    __slots__ = ("_turn", "choice")

    def __init__(self) -> None:
        self._turn = 0
        self.choice: Choice | None = None

    def choose(self, replicas: Sequence[Replica], call: Call) -> Replica | None:  # noqa: ARG002 - the protocol's shape
        """See `Policy.choose`."""
        count = len(replicas)
        if count == 1:
            self.choice = None
            return replicas[0] if replicas[0].has_room() else None
        self._turn += 1
        self.choice = _seen(replicas) if count <= MOST_WEIGHED else None
        best: Replica | None = None
        least = 1.0
        for offset in range(count):
            replica = replicas[(self._turn + offset) % count]
            load = replica.in_flight / replica.limit
            if load < least and not replica.is_resting:
                best, least = replica, load
        return best

    def took(self, replica: Replica, call: Call) -> Work:  # noqa: ARG002 - the protocol's shape
        """See `Policy.took`."""
        return NOTHING

    def ended(self, replica: Replica, work: Work, usage: Usage) -> None:
        """See `Policy.ended`."""


def _seen(replicas: Sequence[Replica]) -> Choice:
    return Choice((), tuple([(r.endpoint.id, r.in_flight / r.limit, ()) for r in replicas]))


_: type[Policy] = LeastRequests
