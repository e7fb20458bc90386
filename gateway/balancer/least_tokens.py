"""The replica with the fewest tokens to compute for the calls that it holds, by estimate.

Ten short questions are less than one long document: where prompts and answers differ much in length, tokens say more
than the number of calls does.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.balancer.base import MOST_WEIGHED, Policy
from gateway.balancer.work import DECODE_WEIGHT, Estimates, Work
from gateway.core.call import Call
from gateway.core.outcome import Choice, Usage
from gateway.fleet.replica import Replica

_TERMS = ("prefill", "decode")


class LeastTokens:
    """Least work relative to what a replica may hold, in turn among equals."""

    __slots__ = ("_estimates", "_turn", "choice")

    def __init__(self) -> None:
        self._estimates = Estimates()
        self._turn = 0
        self.choice: Choice | None = None

    def choose(self, replicas: Sequence[Replica], call: Call) -> Replica | None:  # noqa: ARG002 - the protocol's shape
        """See `Policy.choose`."""
        self._turn += 1
        self.choice = None
        roomy = [r for r in replicas if r.has_room()]
        if len(roomy) < 2:  # noqa: PLR2004 - nothing to choose between
            return roomy[0] if roomy else None
        costs = [(r.prefill_tokens + DECODE_WEIGHT * r.decode_tokens) / r.limit for r in roomy]
        least = min(costs)
        equal = [r for r, cost in zip(roomy, costs, strict=True) if cost == least]
        if len(roomy) <= MOST_WEIGHED:
            weighed = [
                (r.endpoint.id, cost, (float(r.prefill_tokens), float(DECODE_WEIGHT * r.decode_tokens)))
                for r, cost in zip(roomy, costs, strict=True)
            ]
            self.choice = Choice(_TERMS, tuple(weighed))
        return equal[self._turn % len(equal)]

    def took(self, replica: Replica, call: Call) -> Work:  # noqa: ARG002 - the protocol's shape
        """See `Policy.took`."""
        estimates = self._estimates
        return Work(estimates.prompt(call), estimates.decode(call), 0, len(call.envelope.body))

    def ended(self, replica: Replica, work: Work, usage: Usage) -> None:  # noqa: ARG002 - the protocol's shape
        """See `Policy.ended`."""
        self._estimates.learn(work, usage)


_: type[Policy] = LeastTokens
