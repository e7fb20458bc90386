"""Calls that belong together go to one replica, as long as that is not above its bound.

By rendezvous hashing: of those that may take a call the replica with the highest number for its key gets it. When a
replica comes or goes only its own keys move. The numbers are the same in every gateway process.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gateway.balancer.base import Policy
from gateway.balancer.bound import within_bound
from gateway.balancer.least_requests import LeastRequests
from gateway.balancer.prefixes import prompt_start
from gateway.balancer.work import NOTHING, Work
from gateway.core.call import Call
from gateway.core.outcome import Choice, Usage
from gateway.core.rendezvous import mixed, number_of
from gateway.fleet.replica import Replica

FIRST_BYTES = 1024
"""Of a prompt: so much decides where it goes by the policy `prefix`."""
_MOST_SEEDS = 4096


def session_of(call: Call) -> bytes | None:
    """What ties the call to others of its tenant, as the caller says."""
    session = call.envelope.session
    return None if session is None else _keyed(call, b"s", session.encode())


def beginning_of(call: Call) -> bytes | None:
    """How its prompt begins."""
    body = call.envelope.body
    start = prompt_start(body)
    return _keyed(call, b"p", body[start : start + FIRST_BYTES])


def _keyed(call: Call, kind: bytes, what: bytes) -> bytes:
    tenant = call.principal.tenant.encode()
    return b"%b%d:%b%b" % (kind, len(tenant), tenant, what)


class Affinity:
    """To the replica of its key; a call without one to the least loaded."""

    __slots__ = ("_key_of", "_others", "_seeds")
    choice: Choice | None = None

    def __init__(self, key_of: Callable[[Call], bytes | None]) -> None:
        self._key_of = key_of
        self._others = LeastRequests()
        self._seeds: dict[str, int] = {}

    def choose(self, replicas: Sequence[Replica], call: Call) -> Replica | None:
        """See `Policy.choose`."""
        key = self._key_of(call) if len(replicas) > 1 else None
        if key is None:
            return self._others.choose(replicas, call)
        candidates = within_bound(replicas)
        if not candidates:
            return None
        number = number_of(key)
        return max(candidates, key=lambda replica: mixed(number ^ self._seed(replica)))

    def took(self, replica: Replica, call: Call) -> Work:  # noqa: ARG002 - the protocol's shape
        """See `Policy.took`."""
        return NOTHING

    def ended(self, replica: Replica, work: Work, usage: Usage) -> None:
        """See `Policy.ended`."""

    def _seed(self, replica: Replica) -> int:
        name = replica.endpoint.id
        seed = self._seeds.get(name)
        if seed is None:
            if len(self._seeds) >= _MOST_SEEDS:
                self._seeds.clear()
            seed = self._seeds[name] = number_of(name.encode())
        return seed


_: type[Policy] = Affinity
