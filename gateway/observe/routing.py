"""What the guesses at prefix caches were worth, for each model that is routed by them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from gateway.balancer.scored import Scored

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

    from gateway.balancer import Policy


def routing_figures(policies: Sequence[tuple[str, Policy | None]]) -> Iterator[Metric]:
    """For each model and who chooses for it."""
    expected = CounterMetricFamily(
        "cascadia_routing_expected_cached_tokens",
        "Prompt tokens that were expected in the cache of the replica that was chosen.",
        labels=["model"],
    )
    found = CounterMetricFamily(
        "cascadia_routing_cached_tokens",
        "Prompt tokens that engines found in their caches, of the calls that were expected about.",
        labels=["model"],
    )
    error = CounterMetricFamily(
        "cascadia_routing_cached_error_tokens",
        "Difference of the two, call by call, whichever way.",
        labels=["model"],
    )
    in_use = GaugeMetricFamily(
        "cascadia_routing_prefix_in_use",
        "1 while guesses at prefix caches come true often enough to be gone by.",
        labels=["model"],
    )
    for model, policy in policies:
        if isinstance(policy, Scored):
            trust = policy.trust
            expected.add_metric([model], trust.expected)
            found.add_metric([model], trust.found)
            error.add_metric([model], trust.error)
            in_use.add_metric([model], trust.is_given)
    yield from (expected, found, error, in_use)
