"""Choosing a replica: a policy is one synchronous method."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gateway.balancer.base import Policy
from gateway.balancer.least_requests import LeastRequests
from gateway.balancer.round_robin import RoundRobin

POLICIES: Mapping[str, Callable[[], Policy]] = {"least_requests": LeastRequests, "round_robin": RoundRobin}
"""Name, as in the configuration → policy."""

__all__ = ["POLICIES", "Policy"]
