"""As many as the configuration says."""

from __future__ import annotations

from gateway.admission.limits.base import Limit
from gateway.fleet.replica import Replica


class Fixed:
    """`max_in_flight`. What an engine turns away lowers the replica's own limit for a while, as always."""

    __slots__ = ()

    def look(self, replica: Replica) -> int:
        """See `Limit.look`."""
        return replica.endpoint.max_in_flight


_: type[Limit] = Fixed
