"""Admission: a slot at once if there is one, a place in the model's queue if not, a refusal if that is full.

Everything here is synchronous and runs on one event loop, so nothing changes between choosing a replica and counting
the call on it. A ticket's holder is told of its grant by a plain call made inside the release that freed the slot:
there is no moment in which a slot is granted and nobody holds it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection

from gateway.admission.lease import Ended, Lease
from gateway.admission.ordering import Queue, Ticket, Waiter
from gateway.balancer.base import Policy
from gateway.core.call import Call
from gateway.core.errors import GatewayError, NoReplica, QueueFull, QueueTimeout
from gateway.fleet.pool import Pool
from gateway.fleet.replica import Replica


class Admission:
    """All queues. `max_queue` bounds each; `clock` gives monotonic seconds."""

    def __init__(self, policy: Callable[[], Policy], *, max_queue: int, clock: Callable[[], float]) -> None:
        self._new_policy = policy
        self._max_queue = max_queue
        self._clock = clock
        self._queues: dict[str, Queue] = {}
        self._policies: dict[str, Policy] = {}

    def __repr__(self) -> str:
        return f"<Admission { ({model: len(queue) for model, queue in self._queues.items()}) }>"

    def waiting(self, model: str) -> int:
        """Calls that wait for `model`."""
        queue = self._queues.get(model)
        return 0 if queue is None else len(queue)

    def admit(self, pool: Pool, call: Call, waiter: Waiter, expires: float) -> Lease | Ticket:
        """Return a lease for `call` when there is room now, else a ticket that is evicted at monotonic time `expires`.

        Raises `NoReplica` when no engine serves the model, `QueueFull` when as many wait as may.
        """
        candidates = pool.candidates(self._clock())
        if not candidates:
            raise no_replica(pool)
        queue = self._queues.get(pool.model)
        if not queue:
            lease = self._lease(pool, call, candidates)
            if lease is not None:
                return lease
        return self._roomy(pool).join(call, waiter, expires)

    def readmit(self, pool: Pool, call: Call, waiter: Waiter, expires: float) -> Ticket:
        """The first place in the queue, for a call that an engine turned away. Raises `QueueFull`."""
        return self._roomy(pool).rejoin(call, waiter, expires)

    def move(self, pool: Pool, call: Call, without: Replica) -> Lease | None:
        """A lease on another replica than `without`, if one has room now: for a call that is sent again."""
        return self._lease(pool, call, pool.candidates(self._clock(), without=without))

    def wake(self) -> None:
        """Give what room there is to those who wait, evict the expired and those whose model nobody serves now.

        To be called when replicas may have come or gone, and from time to time for the expired.
        """
        for queue in list(self._queues.values()):
            self._serve(queue)

    def forget(self, known: Collection[str]) -> None:
        """Drop the queues of models that are not in `known` any more, evicting who waits there."""
        for model in [model for model in self._queues if model not in known]:
            queue = self._queues.pop(model)
            while ticket := queue.first():
                _evict(ticket, no_replica(queue.pool))
            self._policies.pop(model, None)

    def _roomy(self, pool: Pool) -> Queue:
        queue = self._queues.get(pool.model)
        if queue is None:
            queue = self._queues[pool.model] = Queue(pool)
        if len(queue) >= self._max_queue:
            raise QueueFull("Too many requests are waiting for this model. Try again later.", retry_after=1)
        return queue

    def _serve(self, queue: Queue) -> None:
        now = self._clock()
        while ticket := queue.first():
            if ticket.expires <= now:
                _evict(ticket, QueueTimeout("No engine became free in time.", retry_after=1))
                continue
            candidates = queue.pool.candidates(now)
            if not candidates:
                _evict(ticket, no_replica(queue.pool))
                continue
            lease = self._lease(queue.pool, ticket.call, candidates)
            if lease is None:
                return
            ticket.cancel()
            ticket.waiter.granted(lease)

    def _lease(self, pool: Pool, call: Call, candidates: list[Replica]) -> Lease | None:
        policy = self._policies.get(pool.model)
        if policy is None:
            policy = self._policies[pool.model] = self._new_policy()
        replica = policy.choose(candidates, call)
        if replica is None:
            return None
        return Lease(replica, pool.members[replica], self._released, policy.choice)

    def _released(self, replica: Replica, ended: Ended) -> None:
        if ended is Ended.WELL:
            replica.succeeded(self._clock())
        elif ended is Ended.BUSY:
            replica.was_busy()
        elif ended is Ended.REFUSED:
            replica.refused(self._clock())
        elif ended is Ended.FAILED:
            replica.failed(self._clock())
        if not self._queues:
            return
        waiting = [queue for public, _ in replica.endpoint.models if (queue := self._queues.get(public))]
        if len(waiting) > 1:  # who waits longest goes first, whichever of the replica's models it is for
            waiting.sort(key=_first_expires)
        for queue in waiting:
            self._serve(queue)


def _first_expires(queue: Queue) -> float:
    first = queue.first()
    return math.inf if first is None else first.expires


def no_replica(pool: Pool) -> NoReplica:
    """The refusal of a model that no engine serves now."""
    return NoReplica(
        f"No engine serves the model `{pool.model}` now. Try again later.", retry_after=pool.retry_after()
    )


def _evict(ticket: Ticket, error: GatewayError) -> None:
    ticket.cancel()
    ticket.waiter.evicted(error)
