"""The contract of a policy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from gateway.core.call import Call
from gateway.fleet.replica import Replica


class Policy(Protocol):
    """Chooses where one call goes."""

    def choose(self, replicas: Sequence[Replica], call: Call) -> Replica | None:
        """Return a replica for `call` that has room, `None` when none has any.

        `replicas` may be sent work and may be empty. Counts nothing: the caller counts what it was given, in the same
        synchronous step.
        """
        ...
