"""Admission in front of engines that take as long as their answers are, in virtual time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

from gateway.admission import Admission, Ended, Lease, Ticket
from gateway.balancer import POLICIES
from gateway.core.call import Call, Principal, Tier
from gateway.core.errors import GatewayError
from gateway.core.outcome import Usage
from gateway.fleet.endpoint import Condition, Endpoint, TcpAddress
from gateway.fleet.pool import Pool
from gateway.fleet.replica import Replica
from tests.support.calls import call
from tests.support.clock import Clock

SECONDS_PER_TOKEN = 0.01


def replica(id_: str = "r", *, room: int = 1, models: tuple[str, ...] = ("m",)) -> Replica:
    endpoint = Endpoint(
        id=id_,
        address=TcpAddress("127.0.0.1", 1),
        engine="vllm",
        models=tuple((model, model.upper()) for model in models),
        api_key=None,
        max_in_flight=room,
        idle_seconds=1,
    )
    return Replica(endpoint, Condition.READY)


def pool(*members: Replica, model: str = "m") -> Pool:
    made = Pool(model)
    made.members.update({member: model.upper() for member in members})
    return made


class Caller:
    """A waiter that notes what it was told."""

    def __init__(self) -> None:
        self.lease: Lease | None = None
        self.error: GatewayError | None = None
        self.told = 0

    def granted(self, lease: Lease) -> None:
        self.lease = lease
        self.told += 1

    def evicted(self, error: GatewayError) -> None:
        self.error = error
        self.told += 1


class Asked:
    """One request of a `Counter`."""

    def __init__(self, counter: Counter, made: Call, usage: Usage, then: Callable[[], None]) -> None:
        self._counter = counter
        self.call = made
        self.usage = usage
        self._then = then
        self.came = counter.clock()
        self.expires = made.deadline
        self.begun: float | None = None
        self.error: GatewayError | None = None
        self.ticket: Ticket | None = None

    @property
    def waited(self) -> float:
        """Seconds until it was begun."""
        assert self.begun is not None
        return self.begun - self.came

    def granted(self, lease: Lease) -> None:
        counter = self._counter
        self.begun = counter.clock()
        assert self.begun < self.expires, "begun when its time was over"
        counter.at(self.begun + self.usage.completion_tokens * SECONDS_PER_TOKEN, lambda: self._finish(lease))

    def evicted(self, error: GatewayError) -> None:
        self.error = error
        self._then()

    def _finish(self, lease: Lease) -> None:
        usage = self.usage
        self._counter.served[self.call.principal.tenant] += (
            usage.prompt_tokens - usage.cached_tokens + 2 * usage.completion_tokens
        )
        self._counter.done.append(self)
        lease.release(Ended.WELL, usage)
        self._then()


class Counter:
    """Tenants ask, engines serve. `served` is what each tenant was given, in weighted tokens."""

    def __init__(self, *, room: int = 1, replicas: int = 1, **options: Any) -> None:
        self.clock = Clock(0.0)
        self.replicas = [replica(f"r{number}", room=room) for number in range(replicas)]
        self.pool = pool(*self.replicas)
        self.admission = Admission(POLICIES["least_requests"], clock=self.clock, **options)
        self.served: dict[str, float] = defaultdict(float)
        self.done: list[Asked] = []
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._number = 0

    def at(self, when: float, what: Callable[[], None]) -> None:
        """Do `what` at `when`."""
        self._number += 1
        heappush(self._events, (when, self._number, what))

    def run(self, until: float) -> None:
        """Let time pass."""
        while self._events and self._events[0][0] <= until:
            when, _, what = heappop(self._events)
            self.clock.now = when
            what()
        self.clock.now = until

    def ask(
        self,
        tenant: str,
        *,
        tokens: int = 10,
        prompt: int = 20,
        cached: int = 0,
        weight: float = 1.0,
        tier: Tier = Tier.DEFAULT,
        patience: float = 1e9,
        then: Callable[[], None] = lambda: None,
    ) -> Asked:
        """One request."""
        made = call(
            tenant,
            tier=tier,
            principal=Principal(tenant, f"key-{tenant}", weight=weight),
            deadline=self.clock() + patience,
        )
        asked = Asked(self, made, Usage(prompt, tokens, cached), then)
        found = self.admission.admit(self.pool, made, asked, asked.expires)
        if isinstance(found, Lease):
            asked.granted(found)
        else:
            asked.ticket = found
        return asked

    def keep_asking(self, tenant: str, ways: int, **how: Any) -> None:
        """`ways` requests at once, each followed by another as soon as it is over."""
        for _ in range(ways):
            self._again(tenant, how)

    def _again(self, tenant: str, how: dict[str, Any]) -> None:
        self.ask(tenant, then=lambda: self._again(tenant, how), **how)


def jain(shares: list[float]) -> float:
    """Jain's index of fairness: 1 when all have the same, 1/n when one has it all."""
    return sum(shares) ** 2 / (len(shares) * sum(share * share for share in shares))
