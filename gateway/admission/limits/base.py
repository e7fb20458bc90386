"""The contract of a limit."""

from __future__ import annotations

from typing import Protocol

from gateway.fleet.replica import Replica


class Limit(Protocol):
    """How many calls one replica may hold. One for each replica."""

    def look(self, replica: Replica) -> int:
        """How many `replica` may hold from now on: at least one, at most its `max_in_flight`.

        Asked at each sweep, with what is known of the replica at that moment.
        """
        ...
