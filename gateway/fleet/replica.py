"""An endpoint with its live state.

In-flight counts are our own and exact: a call counts from the moment it is given a replica until its last byte (tower's
completion load). Failures here are those seen on the request path; discovery's view is `condition`.
"""

from __future__ import annotations

from gateway.fleet.endpoint import Condition, Endpoint

EJECT_AFTER = 3
"""Failed answers in a row before a replica is left out, where another can take its place."""
FIRST_EJECTION = 1.0
LONGEST_EJECTION = 60.0


class Replica:
    """Mutated only by synchronous methods on the event loop."""

    __slots__ = (
        "_ejection",
        "_failures",
        "condition",
        "ejected_until",
        "endpoint",
        "in_flight",
        "ready_in",
        "unreachable",
    )

    def __init__(self, endpoint: Endpoint, condition: Condition) -> None:
        self.endpoint = endpoint
        self.condition = condition
        self.ready_in: float | None = None
        self.in_flight = 0
        self.ejected_until = 0.0
        self.unreachable = False
        self._failures = 0
        self._ejection = FIRST_EJECTION

    def __repr__(self) -> str:
        return f"<Replica {self.endpoint.id} {self.condition} {self.in_flight}/{self.endpoint.max_in_flight}>"

    def has_room(self) -> bool:
        """Whether one more call may run here."""
        return self.in_flight < self.endpoint.max_in_flight

    def is_serving(self) -> bool:
        """Whether discovery says that it can be sent work."""
        return self.condition is Condition.READY

    def is_ejected(self, now: float) -> bool:
        """Whether it is left out for failing, at monotonic time `now`."""
        return now < self.ejected_until

    def succeeded(self) -> None:
        """A call ended well, or badly through no fault of the engine."""
        if self._failures:
            self._failures = 0
            self._ejection = FIRST_EJECTION
        self.unreachable = False

    def failed(self, now: float) -> None:
        """The engine broke a call: ejected after `EJECT_AFTER` in a row, longer each time.

        A hundred calls broken by one crash are one reason to leave it out, not a hundred: while it is left out already
        nothing is added.
        """
        if self.is_ejected(now):
            return
        self._failures += 1
        if self._failures >= EJECT_AFTER:
            self._eject(now)

    def refused(self, now: float) -> None:
        """No connection could be made: out at once, tried again after the ejection."""
        self.unreachable = True
        if self.is_ejected(now):
            return
        self._failures += 1
        self._eject(now)

    def _eject(self, now: float) -> None:
        self.ejected_until = now + self._ejection
        self._ejection = min(self._ejection * 2, LONGEST_EJECTION)
