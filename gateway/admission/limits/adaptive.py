"""As many as the engine runs at once, and a tenth more, so that it never waits for work and hardly queues any itself.

What waits inside an engine is served in the engine's order, whatever tier or tenant it is of; what waits here is not.
Engines that tell their load are believed: what waits there beyond the tenth is taken off, twice in a row, since a burst
waits for a step or two in any engine. With others there is only the time to the first content: twice the best that was
seen takes a tenth off. That is a weak witness - longer prompts look the same - so it takes off three quarters at most.

Additive increase and multiplicative decrease (Chiu and Jain, 1989): one more, or a twentieth, at each sweep at which the
limit is all that holds calls back.
"""

from __future__ import annotations

import math

from gateway.admission.limits.base import Limit
from gateway.fleet.load import Load
from gateway.fleet.replica import Replica

SURPLUS = 0.1
"""What may wait in an engine, as a part of what it runs."""
PATIENCE = 2
"""Pages in a row that have to tell of more."""
LEAST_STEP = 0.7
"""What is left of the limit after one step down, at least."""
INCREASE = 0.05
SLOWER, SLOWER_SECONDS = 2.0, 0.1
"""Times the best first content, and so much longer, that are taken for a queue."""
DECREASE = 0.9
FORGETS = 1.01
"""How the best first content is forgotten, with each look at a newer one."""
LEAST_BY_TIME = 0.25
"""Part of `max_in_flight` that is left where only the time to the first content speaks."""


class Adaptive:
    """Follows what one engine can do."""

    __slots__ = ("_allowed", "_best", "_crowded", "_page", "_seen")

    def __init__(self) -> None:
        self._allowed = math.inf
        self._crowded = 0
        self._page = -math.inf
        self._best = math.inf
        self._seen = 0

    def look(self, replica: Replica) -> int:
        """See `Limit.look`."""
        most = replica.endpoint.max_in_flight
        self._allowed = min(self._allowed, most)
        load = replica.load
        if load is None or replica.freshness <= 0:
            self._look_at_time(replica, most)
        elif replica.seen.at != self._page:
            self._page = replica.seen.at
            self._look_at_queue(replica, load, most)
        return max(1, min(most, round(self._allowed)))

    def _look_at_queue(self, replica: Replica, load: Load, most: int) -> None:
        surplus = load.waiting - max(1.0, SURPLUS * load.running)
        if surplus <= 0:
            self._crowded = 0
            self._grow(replica, most)
            return
        self._crowded += 1
        if self._crowded >= PATIENCE:
            self._crowded = 0
            held = min(self._allowed, max(1, replica.seen.ours))
            self._allowed = max(1.0, LEAST_STEP * held, held - surplus)

    def _look_at_time(self, replica: Replica, most: int) -> None:
        first = replica.pace.first
        value = first.known()
        if value is None or first.count == self._seen:
            return
        self._seen = first.count
        self._best = min(self._best * FORGETS, value)
        if value <= SLOWER * self._best + SLOWER_SECONDS:
            self._grow(replica, most)
        elif replica.in_flight > LEAST_BY_TIME * most:
            self._allowed = max(1.0, LEAST_BY_TIME * most, DECREASE * min(self._allowed, replica.in_flight))

    def _grow(self, replica: Replica, most: int) -> None:
        if replica.in_flight >= round(self._allowed):
            self._allowed = min(most, self._allowed + max(1.0, INCREASE * self._allowed))


_: type[Limit] = Adaptive
