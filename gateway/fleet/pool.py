"""The replicas that can serve one public model, interchangeably."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.fleet.endpoint import Condition
from gateway.fleet.outliers import compare
from gateway.fleet.replica import Replica

DEFAULT_RETRY_AFTER = 5
"""Seconds to name in `retry-after` when nothing is known of when a replica will be ready."""
LONGEST_RETRY_AFTER = 60
SMOOTHED_OVER = 10
PROBE_EVERY = 20
"""Of so many calls one goes to a slow replica, to see whether it still is."""


class Pool:
    """One public model and who serves it. `members` holds each replica with its own name for the model."""

    __slots__ = ("_slow", "members", "model", "usual_wait")

    def __init__(self, model: str) -> None:
        self.model = model
        self.usual_wait = 0.0
        """Seconds from dispatch to the first content, smoothed over about ten calls."""
        self.members: dict[Replica, str] = {}
        self._slow: dict[Replica, tuple[int, int]] = {}
        """Slow replicas, each with its own calls and those of all when it last got one."""

    def __repr__(self) -> str:
        return f"<Pool {self.model}: {', '.join(map(repr, self.members)) or 'empty'}>"

    def candidates(self, now: float, *, without: Replica | None = None) -> list[Replica]:
        """Replicas that may be sent work, whether or not they have room.

        Those that something speaks against are left out while another is there. When something speaks against all of
        them they are used all the same, except right after a refused connection: a pool that fails is not made better
        by refusing to try (Envoy's panic threshold). Slow ones get a call now and then, and those that just came back
        no more than their growing share, as long as others have room.
        """
        serving = [r for r in self.members if r.condition is Condition.READY and r is not without]
        is_doubted = any([r.is_doubted for r in serving])  # noqa: C419 - the usual case, and a list is quicker
        if not is_doubted and not self._slow:
            return serving
        sound = [r for r in serving if r.is_sound(now)] if is_doubted else serving
        return self._portioned(sound, now) or [r for r in serving if r.may_be_back(now)]

    def tick(self) -> None:
        """Time has passed: compare the replicas' pace."""
        total = self._dispatches()
        slow = compare([r for r in self.members if r.condition is Condition.READY], self._slow)
        self._slow = {r: self._slow.get(r, (r.dispatches, total)) for r in slow}

    def is_slow(self, replica: Replica) -> bool:
        """Whether `replica` takes several times as long as its peers."""
        return replica in self._slow

    def _portioned(self, sound: list[Replica], now: float) -> list[Replica]:
        """Those of `sound` that are due: not the slow between two probes, nor the warming over their share."""
        usual = sound
        if self._slow:
            for replica in sound:
                if replica in self._slow and replica.has_room() and self._is_probe_due(replica):
                    return [replica]
            usual = [r for r in sound if r not in self._slow]
        warm = [r for r in usual if not r.is_warming]
        if warm and len(warm) < len(usual):
            mean = sum([r.in_flight for r in warm]) / len(warm)
            usual = [r for r in usual if not r.is_warming or r.in_flight < max(1.0, mean * r.share(now))]
        return usual if any(r.has_room() for r in usual) else sound

    def _is_probe_due(self, replica: Replica) -> bool:
        own, then = self._slow[replica]
        total = self._dispatches()
        if replica.dispatches != own:
            self._slow[replica] = (replica.dispatches, total)
            return False
        return total - then >= PROBE_EVERY

    def _dispatches(self) -> int:
        return sum([r.dispatches for r in self.members])

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
