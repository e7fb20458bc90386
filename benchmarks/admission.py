"""What the queue costs a request: `python -m benchmarks.admission`.

The real admission with 64 replicas, all full, and so many calls that wait. One round is one request's share: a call comes and
takes a place, another is over, and one that waited is granted its slot. The least of many repeats is shown, as in
`benchmarks.hot_path`.
"""

from __future__ import annotations

import gc
import random
import time
from functools import partial
from typing import Annotated

import typer

from benchmarks.hot_path import least
from gateway.admission import ORDERINGS, Admission, Bounds, Ended, Lease, Ordering, Ticket
from gateway.balancer import POLICIES
from gateway.core.call import Call, Envelope, Principal, Tier
from gateway.core.errors import GatewayError
from gateway.core.outcome import Usage
from gateway.fleet.endpoint import Condition, Endpoint, TcpAddress
from gateway.fleet.pool import Pool
from gateway.fleet.replica import Replica

MODEL = "bench"
FOR_EVER = 1e12
TENANTS = 50
RESERVE = 0.1
"""As the configuration has it."""
_BODY = b'{"model":"bench","messages":[]}' * 30
_USAGE = Usage(240, 16, 0)


class Waiting:
    """One who waits, and keeps what it is given where the rig finds it."""

    __slots__ = ("_held",)

    def __init__(self, held: list[Lease]) -> None:
        self._held = held

    def granted(self, lease: Lease) -> None:
        """See `Waiter.granted`."""
        self._held.append(lease)

    def evicted(self, error: GatewayError) -> None:
        """See `Waiter.evicted`: nobody is, here."""
        raise error


class Rig:
    """A pool whose replicas are full and whose queue has `waiting` calls."""

    def __init__(self, ordering: str, *, waiting: int, replicas: int, slots: int) -> None:
        self._pool = Pool(MODEL)
        for number in range(replicas):
            self._pool.members[_replica(number, slots)] = MODEL
        self._admission = Admission(
            POLICIES["least_requests"],
            clock=time.monotonic,
            ordering=partial(_ordering, ordering),
            bounds=Bounds(2 * waiting + 64),
            reserve=RESERVE if ordering == "fair" else 0.0,
        )
        rng = random.Random(1)
        self._calls = [_call(rng) for _ in range(997)]
        self._held: list[Lease] = []
        self._waiter = Waiting(self._held)
        self._number = 0
        for _ in range(replicas * slots):
            found = self._come()
            if isinstance(found, Lease):
                self._held.append(found)
        for _ in range(waiting):
            self._come()
        if (len(self._held), self._admission.waiting(MODEL)) != (replicas * slots, waiting):
            raise RuntimeError(f"not what was to be measured: {self._admission!r}")

    def _come(self) -> Lease | Ticket:
        self._number += 1
        call = self._calls[self._number % len(self._calls)]
        return self._admission.admit(self._pool, call, self._waiter, FOR_EVER + self._number % 7)

    def round(self) -> None:
        """One request comes, one is over, one is granted."""
        found = self._come()
        if isinstance(found, Lease):  # of what is kept free
            self._held.append(found)
        self._held.pop(self._number % len(self._held)).release(Ended.WELL, _USAGE)

    def come_and_go(self) -> None:
        """A request comes and leaves the queue."""
        found = self._come()
        if isinstance(found, Ticket):
            found.cancel()
        else:
            found.release(Ended.UNJUDGED)


def _ordering(name: str) -> Ordering:
    return ORDERINGS[name]()


def _replica(number: int, slots: int) -> Replica:
    endpoint = Endpoint(
        id=f"r{number}",
        address=TcpAddress("127.0.0.1", 1),
        engine="vllm",
        models=((MODEL, MODEL),),
        api_key=None,
        max_in_flight=slots,
        idle_seconds=1.0,
    )
    return Replica(endpoint, Condition.READY)


def _call(rng: random.Random) -> Call:
    principal = Principal(f"tenant-{rng.randrange(TENANTS)}", "key")
    envelope = Envelope(MODEL, stream=True, strip_usage=True, body=_BODY, stripped=b"")
    return Call("id", principal, "chat", MODEL, 0.0, FOR_EVER, rng.choice(list(Tier)), envelope)


def main(
    replicas: Annotated[int, typer.Option(min=1)] = 64,
    repeats: Annotated[int, typer.Option(min=1, help="The least of so many is shown.")] = 100,
) -> None:
    """Measure admission with a long queue."""
    print(f"{'ordering':<10}{'waiting':>8}{'served µs':>12}{'cancelled µs':>14}")
    for name in ORDERINGS:
        for waiting in (100, 1_000, 10_000):
            rig = Rig(name, waiting=waiting, replicas=replicas, slots=8)
            gc.collect()
            gc.freeze()
            served = least(rig.round, per_repeat=200, repeats=repeats) * 1e6
            cancelled = least(rig.come_and_go, per_repeat=200, repeats=repeats) * 1e6
            gc.unfreeze()
            print(f"{name:<10}{waiting:>8}{served:>12.2f}{cancelled:>14.2f}")


if __name__ == "__main__":
    typer.run(main)
