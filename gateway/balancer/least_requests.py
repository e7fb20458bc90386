"""The replica with the fewest of our calls in flight, in turn among equals.

All replicas are looked at: in one gateway process the counts are exact, so two random choices would only be worse. The
turn matters: without it an idle pool sends everything to its first member.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.balancer.base import Policy
from gateway.core.call import Call
from gateway.fleet.replica import Replica


class LeastRequests:
    """Least in flight relative to what a replica may hold."""

    __slots__ = ("_turn",)

    def __init__(self) -> None:
        self._turn = 0

    def choose(self, replicas: Sequence[Replica], call: Call) -> Replica | None:  # noqa: ARG002 - the protocol's shape
        """See `Policy.choose`."""
        count = len(replicas)
        if count == 1:
            return replicas[0] if replicas[0].has_room() else None
        self._turn += 1
        best: Replica | None = None
        least = 1.0
        for offset in range(count):
            replica = replicas[(self._turn + offset) % count]
            load = replica.in_flight / replica.limit
            if load < least and not replica.is_resting:
                best, least = replica, load
        return best


_: type[Policy] = LeastRequests
