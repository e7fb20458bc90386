"""What engines say of their prefix caches: how much is known, how new it is, and how right."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from gateway.balancer.scored import Scored

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

    from gateway.balancer import Policy
    from gateway.fleet.cached import Followers


class CacheMetrics(Collector):
    """Registered only where engines are asked. `policies` gives each model and who chooses for it."""

    def __init__(
        self, followers: Followers, policies: Callable[[], Sequence[tuple[str, Policy | None]]]
    ) -> None:
        self._followers = followers
        self._policies = policies

    def collect(self) -> Iterable[Metric]:
        """Read it now."""
        yield from self._following()
        yield from self._errors()

    def _following(self) -> Iterator[Metric]:
        connected = GaugeMetricFamily(
            "cascadia_cache_events_connected",
            "1 while the replica's engine tells what its prefix cache holds.",
            labels=["replica"],
        )
        blocks = GaugeMetricFamily(
            "cascadia_cache_blocks",
            "Blocks that the replica's engine has in its prefix cache, by its own word.",
            labels=["replica"],
        )
        lag = GaugeMetricFamily(
            "cascadia_cache_events_lag_seconds",
            "From the engine's last change of its prefix cache to our knowing of it.",
            labels=["replica"],
        )
        gaps = CounterMetricFamily(
            "cascadia_cache_events_gaps",
            "Events that were lost for good; what was known of the replica's prefix cache was forgotten each time.",
            labels=["replica"],
        )
        unread = CounterMetricFamily(
            "cascadia_cache_events_unread", "Batches of events that could not be read.", labels=["replica"]
        )
        dropped = CounterMetricFamily(
            "cascadia_cache_blocks_unknown",
            "Blocks that an engine named and that could not be known: their beginning was lost, or there are too many.",
            labels=["replica"],
        )
        for follower in tuple(self._followers):
            feed, name = follower.feed, follower.name
            connected.add_metric([name], follower.is_connected and feed.is_in_step)
            blocks.add_metric([name], len(feed.blocks))
            lag.add_metric([name], feed.lag)
            gaps.add_metric([name], feed.gaps)
            unread.add_metric([name], feed.unread)
            dropped.add_metric([name], feed.blocks.dropped)
        yield from (connected, blocks, lag, gaps, unread, dropped)

    def _errors(self) -> Iterator[Metric]:
        told = CounterMetricFamily(
            "cascadia_routing_told_cached_tokens",
            "Prompt tokens in the cache of the replica that was chosen, by the engine's word and the prompt's tokens.",
            labels=["model"],
        )
        found = CounterMetricFamily(
            "cascadia_routing_told_found_tokens",
            "Prompt tokens that the engines found, of the same calls.",
            labels=["model"],
        )
        off = CounterMetricFamily(
            "cascadia_routing_told_error_tokens",
            "Difference of the two, call by call, whichever way.",
            labels=["model"],
        )
        in_use = GaugeMetricFamily(
            "cascadia_routing_told_in_use",
            "1 while what engines say is nearer to what they find than a guess, and gone by.",
            labels=["model"],
        )
        error = GaugeMetricFamily(
            "cascadia_routing_told_error_ratio",
            "Difference of the two over the last calls since the engine's start, as a share of their prompts.",
            labels=["model", "replica"],
        )
        for model, policy in self._policies():
            if isinstance(policy, Scored):
                errors = policy.errors
                told.add_metric([model], errors.expected)
                found.add_metric([model], errors.found)
                off.add_metric([model], errors.off)
                in_use.add_metric([model], errors.prefers_told)
                for replica, ratio in errors.of_replicas().items():
                    error.add_metric([model, replica], ratio)
        yield from (told, found, off, in_use, error)
