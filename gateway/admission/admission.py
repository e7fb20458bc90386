"""Admission: a slot at once if there is one, a place in the model's queue if not, a refusal if that is full.

Everything here is synchronous and runs on one event loop, so nothing changes between choosing a replica and counting
the call on it. A ticket's holder is told of its grant by a plain call made inside the release that freed the slot:
there is no moment in which a slot is granted and nobody holds it.

While somebody waits no replica has room, but for those that were just released or that time has brought back. So a
release offers the one replica that it was about, and `wake` looks at all of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence

from gateway.admission.cost import Costs
from gateway.admission.lease import Ended, Lease
from gateway.admission.limits import Fixed, Limit
from gateway.admission.orderings import Fair, Ordering
from gateway.admission.queue import Bounds, Queue
from gateway.admission.reserve import Reserve
from gateway.admission.ticket import Ticket, Waiter
from gateway.admission.watch import Unwatched, Watch
from gateway.balancer.base import Policy
from gateway.core.call import Call, Tier
from gateway.core.errors import DeadlineExceeded, NoReplica
from gateway.core.outcome import Usage
from gateway.fleet.endpoint import Condition
from gateway.fleet.pool import Pool
from gateway.fleet.replica import Replica


class Admission:
    """All queues. `bounds` are those of each; `clock` gives monotonic seconds; `watch` is told what happens.

    `starting_seconds` is how long a call may wait for an engine that starts when no other serves its model; 0: not at
    all. `reserve` is the most that may be kept free of a model's slots, as a part of them.
    """

    def __init__(
        self,
        policy: Callable[[], Policy],
        *,
        clock: Callable[[], float],
        bounds: Bounds = Bounds(),  # noqa: B008 - a frozen value
        ordering: Callable[[], Ordering] = Fair,
        limit: Callable[[], Limit] = Fixed,
        costs: Costs = Costs(),  # noqa: B008 - a frozen value
        reserve: float = 0.0,
        starting_seconds: float = 0.0,
        watch: Watch = Unwatched(),  # noqa: B008 - it has no state
    ) -> None:
        self._new_policy = policy
        self._new_ordering = ordering
        self._new_limit = limit
        self._bounds = bounds
        self._costs = costs
        self._reserve = reserve
        self._starting_seconds = starting_seconds
        self._clock = clock
        self._watch = watch
        self._queues: dict[str, Queue] = {}
        self._policies: dict[str, Policy] = {}
        self._limits: dict[Replica, Limit] = {}

    def __repr__(self) -> str:
        return f"<Admission { ({model: len(queue) for model, queue in self._queues.items()}) }>"

    def waiting(self, model: str) -> int:
        """Calls that wait for `model`."""
        queue = self._queues.get(model)
        return 0 if queue is None else len(queue)

    def waiting_by_tier(self, model: str) -> Mapping[Tier, int]:
        """The same, for each tier."""
        queue = self._queues.get(model)
        return dict.fromkeys(Tier, 0) if queue is None else queue.by_tier()

    def admit(self, pool: Pool, call: Call, waiter: Waiter, expires: float) -> Lease | Ticket:
        """Return a lease for `call` when there is room now, else a ticket that is evicted at monotonic time `expires`.

        Raises `NoReplica` when no engine serves the model and none is waited for, `QueueFull` when as many wait as may,
        `TooLate` when its turn would come after `expires`, `DeadlineExceeded` when that is over.
        """
        now = self._clock()
        if expires <= now:
            raise DeadlineExceeded("The request took longer than it may.")
        queue = self._queue(pool)
        queue.pool = pool
        is_modest = False
        if not queue:
            candidates = pool.candidates(now)
            if candidates:
                if queue.reserve.is_empty or self._may_have(queue, call, now):
                    lease = self._lease(queue, call, candidates)
                    if lease is not None:
                        return lease
                if self._reserve and (is_modest := queue.ordering.is_modest(call, _slots(queue))):
                    queue.reserve.asked(queue.slots, now, was_free=False)
            elif self._starting_seconds and _is_starting(pool, expires - now):
                expires = min(expires, now + self._starting_seconds)
            else:
                self._watch.rejected(pool.model, call.tier, "no_replica")
                raise no_replica(pool)
        elif self._reserve and (is_modest := queue.ordering.is_modest(call, _slots(queue))):
            lease = self._overtaking(queue, call, now)
            queue.reserve.asked(queue.slots, now, was_free=lease is not None)
            if lease is not None:
                return lease
        return queue.join(call, waiter, expires, now, is_modest=is_modest)

    def readmit(self, pool: Pool, call: Call, waiter: Waiter, expires: float) -> Ticket:
        """The first place of its kind, for a call that an engine turned away. Raises `QueueFull`."""
        return self._queue(pool).join(call, waiter, expires, self._clock(), again=True)

    def move(self, pool: Pool, call: Call, without: Replica) -> Lease | None:
        """A lease on another replica than `without`, if one has room now: for a call that is sent again."""
        queue = self._queue(pool)  # its pool may be a later one than the call's
        return self._lease(queue, call, queue.pool.candidates(self._clock(), without=without))

    def policy(self, model: str) -> Policy | None:
        """Who chooses for `model`, `None` as long as nothing was chosen."""
        return self._policies.get(model)

    def wake(self) -> None:
        """Give what room there is to those who wait, evict the expired and those whose model nobody serves now.

        To be called when replicas may have come or gone, and from time to time for the expired.
        """
        self._look_at_limits()
        for queue in list(self._queues.values()):
            if queue:
                self._serve(queue, None)

    def forget(self, known: Collection[str]) -> None:
        """Drop the queues of models that are not in `known` any more, evicting who waits there."""
        for model in [model for model in self._queues if model not in known]:
            queue = self._queues.pop(model)
            while ticket := queue.next():
                queue.evict(ticket, "no_replica", no_replica(queue.pool))
            self._policies.pop(model, None)

    @staticmethod
    def _may_have(queue: Queue, call: Call, now: float) -> bool:
        """Whether `call` may have one of the slots that are free now."""
        kept = queue.reserve.kept(_slots(queue), now)
        return not kept or _free(queue, now) > kept or queue.ordering.is_modest(call, queue.slots)

    def _overtaking(self, queue: Queue, call: Call, now: float) -> Lease | None:
        """A slot that is kept free, for a modest call: those that wait may not have it."""
        if queue.reserve.is_empty or queue.next_modest() is not None:
            return None
        return self._lease(queue, call, queue.pool.candidates(now))

    def _look_at_limits(self) -> None:
        known, self._limits = self._limits, {}
        for queue in self._queues.values():
            queue.slots = 0
            queue.free = None
            paces = [
                pace for replica in queue.pool.members if (pace := replica.pace.token.known()) is not None
            ]
            queue.seconds_per_token = sum(paces) / len(paces) if paces else 0.0
            for replica in queue.pool.members:
                limit = self._limits[replica] = known.get(replica) or self._new_limit()
                replica.hold_to(limit.look(replica))

    def _queue(self, pool: Pool) -> Queue:
        queue = self._queues.get(pool.model)
        if queue is None:
            queue = Queue(
                pool, self._new_ordering(), self._bounds, self._costs, self._watch, Reserve(self._reserve)
            )
            self._queues[pool.model] = queue
        return queue

    def _serve(self, queue: Queue, released: Replica | None) -> None:
        """Grant what can be granted, on `released` alone if that is all that may have room.

        Whoever is granted a slot may release it, or another, before it returns: that is noted and looked at here, not
        one call deeper for each.
        """
        if queue.is_served:
            queue.has_changed = True
            return
        queue.is_served = True
        try:
            self._grant(queue, released)
            while queue.has_changed:
                queue.has_changed = False
                self._grant(queue, None)
        finally:
            queue.is_served = False

    def _grant(self, queue: Queue, released: Replica | None) -> None:
        now = self._clock()
        queue.evict_expired(now)
        kept = 0 if queue.reserve.is_empty else queue.reserve.kept(_slots(queue), now)
        while ticket := queue.next():
            if kept and _free(queue, now) <= kept:
                modest = queue.next_modest()
                if modest is None:
                    return
                ticket = modest
            if queue.evict_late(ticket, now):
                continue
            candidates = self._candidates(queue.pool, released, now)
            if not candidates:
                if self._starting_seconds and _is_starting(queue.pool, ticket.expires - now):
                    return
                queue.evict(ticket, "no_replica", no_replica(queue.pool))
                continue
            lease = self._lease(queue, ticket.call, candidates, ticket.work.cost)
            if lease is None:
                return
            queue.granted(ticket, now)
            ticket.waiter.granted(lease)
            if candidates == (released,) and not candidates[0].has_room():
                return

    @staticmethod
    def _candidates(pool: Pool, released: Replica | None, now: float) -> Sequence[Replica]:
        if (
            released is not None
            and released.condition is Condition.READY
            and not released.is_doubted
            and not pool.is_slow(released)
            and released in pool.members
        ):
            return (released,)
        return pool.candidates(now)

    def _lease(
        self, queue: Queue, call: Call, candidates: Sequence[Replica], cost: float | None = None
    ) -> Lease | None:
        pool = queue.pool
        policy = self._policies.get(pool.model)
        if policy is None:
            policy = self._policies[pool.model] = self._new_policy()
        replica = policy.choose(candidates, call)
        if replica is None:
            return None
        if queue.free is not None:
            queue.free -= 1
        choice, work = policy.choice, policy.took(replica, call)
        charged = queue.charge(call, cost)
        return Lease(replica, pool.members[replica], call, queue, charged, self._released, choice, work)

    def _got_back(self, replica: Replica) -> list[Queue]:
        """Count a slot of `replica` as free. The queues in which somebody may wait for it."""
        waiting = []
        for public, _ in replica.endpoint.models:
            queue = self._queues.get(public)
            if queue is None:
                continue
            if queue.free is not None and replica.in_flight < replica.limit:
                queue.free += 1
            if queue:
                waiting.append(queue)
        return waiting

    def _released(self, lease: Lease, ended: Ended, usage: Usage | None) -> None:
        replica = lease.replica
        lease.account.settle(lease.call, lease.charged, ended, usage)
        if (
            usage is not None
            and ended is Ended.WELL
            and (policy := self._policies.get(lease.call.model)) is not None
        ):
            policy.ended(replica, lease.work, usage)
        if ended is Ended.WELL:
            replica.succeeded(self._clock())
        elif ended is Ended.BUSY:
            replica.was_busy()
        elif ended is Ended.REFUSED:
            replica.refused(self._clock())
        elif ended is Ended.FAILED:
            replica.failed(self._clock())
        waiting = self._got_back(replica)
        if len(waiting) > 1:  # the higher tier goes first, then who expires first, whichever model it is for
            waiting.sort(key=_urgency)
        for queue in waiting:
            self._serve(queue, replica)


def _slots(queue: Queue) -> int:
    """How many calls the pool's engines hold together."""
    if not queue.slots:
        queue.slots = sum([replica.limit for replica in queue.pool.members])
    return queue.slots


def _free(queue: Queue, now: float) -> int:
    """How many slots of the pool are free, as of the last sweep and of what its queue gave and got back since."""
    free = queue.free
    if free is None:
        free = sum([r.limit - r.in_flight for r in queue.pool.candidates(now) if r.has_room()])
        queue.free = free
    return free


def _urgency(queue: Queue) -> tuple[int, float]:
    first = queue.next()
    return (0, math.inf) if first is None else (-first.call.tier, first.expires)


def _is_starting(pool: Pool, within: float) -> bool:
    """Whether a replica of `pool` starts, and is not known to take longer than `within` seconds."""
    return any(
        replica.condition is Condition.STARTING and (replica.ready_in is None or replica.ready_in <= within)
        for replica in pool.members
    )


def no_replica(pool: Pool) -> NoReplica:
    """The refusal of a model that no engine serves now."""
    return NoReplica(
        f"No engine serves the model `{pool.model}` now. Try again later.", retry_after=pool.retry_after()
    )
