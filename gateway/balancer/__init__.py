"""Choosing a replica: a policy is one synchronous method, and two that tell it what became of its choices."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from gateway.balancer.affinity import Affinity, beginning_of, session_of
from gateway.balancer.base import Policy
from gateway.balancer.least_requests import LeastRequests
from gateway.balancer.least_tokens import LeastTokens
from gateway.balancer.round_robin import RoundRobin
from gateway.balancer.scored import Scored
from gateway.balancer.work import Work

POLICIES: Mapping[str, Callable[[], Policy]] = {
    "scored": Scored,
    "least_requests": LeastRequests,
    "least_tokens": LeastTokens,
    "round_robin": RoundRobin,
    "session": partial(Affinity, session_of),
    "prefix": partial(Affinity, beginning_of),
}
"""Name, as in the configuration → policy."""

__all__ = ["POLICIES", "Policy", "Work"]
