"""The replicas that can serve one public model, interchangeably."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.fleet.endpoint import Condition
from gateway.fleet.replica import Replica

DEFAULT_RETRY_AFTER = 5
"""Seconds to name in `retry-after` when nothing is known of when a replica will be ready."""
LONGEST_RETRY_AFTER = 60
SMOOTHED_OVER = 10


class Pool:
    """One public model and who serves it. `members` holds each replica with its own name for the model."""

    __slots__ = ("members", "model", "usual_wait")

    def __init__(self, model: str) -> None:
        self.model = model
        self.usual_wait = 0.0
        """Seconds from dispatch to the first content, smoothed over about ten calls."""
        self.members: dict[Replica, str] = {}

    def __repr__(self) -> str:
        return f"<Pool {self.model}: {', '.join(map(repr, self.members)) or 'empty'}>"

    def candidates(self, now: float, *, without: Replica | None = None) -> list[Replica]:
        """Replicas that may be sent work, whether or not they have room.

        Those that something speaks against are left out while another is there. When something speaks against all of
        them they are used all the same, except right after a refused connection: a pool that fails is not made better
        by refusing to try (Envoy's panic threshold).
        """
        serving = [r for r in self.members if r.condition is Condition.READY and r is not without]
        if not any([r.is_doubted for r in serving]):  # noqa: C419 - the usual case, and a list is quicker
            return serving
        sound = [r for r in serving if r.is_sound(now)]
        return sound or [r for r in serving if r.may_be_back(now)]

    def waited(self, seconds: float) -> None:
        """A call was so long without content after it was dispatched."""
        self.usual_wait += (seconds - self.usual_wait) / SMOOTHED_OVER

    def in_flight(self) -> int:
        """Calls that this pool's replicas hold, those for other models of theirs included."""
        return sum(replica.in_flight for replica in self.members)

    def retry_after(self) -> int:
        """Whole seconds after which a replica may be there: the engines' own estimate, else a default."""
        known = [r.ready_in for r in self.members if r.ready_in is not None]
        if not known:
            return DEFAULT_RETRY_AFTER
        return max(1, min(LONGEST_RETRY_AFTER, round(min(known))))


def serving(replicas: Iterable[Replica]) -> int:
    """How many of `replicas` discovery calls ready."""
    return sum(replica.is_serving() for replica in replicas)
