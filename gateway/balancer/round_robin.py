"""Each replica in turn, those without room passed over."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.balancer.base import Policy
from gateway.balancer.work import NOTHING, Work
from gateway.core.call import Call
from gateway.core.outcome import Usage
from gateway.fleet.replica import Replica


class RoundRobin:
    """In turn."""

    __slots__ = ("_turn",)
    choice = None

    def __init__(self) -> None:
        self._turn = -1

    def choose(self, replicas: Sequence[Replica], call: Call) -> Replica | None:  # noqa: ARG002 - the protocol's shape
        """See `Policy.choose`."""
        for _ in replicas:
            self._turn += 1
            replica = replicas[self._turn % len(replicas)]
            if replica.has_room():
                return replica
        return None

    def took(self, replica: Replica, call: Call) -> Work:  # noqa: ARG002 - the protocol's shape
        """See `Policy.took`."""
        return NOTHING

    def ended(self, replica: Replica, work: Work, usage: Usage) -> None:
        """See `Policy.ended`."""


_: type[Policy] = RoundRobin
