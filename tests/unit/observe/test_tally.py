"""What the metrics say of the calls that ended."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from gateway.core.outcome import End, Outcome, Usage
from gateway.observe.metrics import Metrics


def end(**changes: Any) -> End:
    values: dict[str, Any] = {
        "request_id": "req-1",
        "operation": "chat",
        "principal": None,
        "model": "m",
        "stream": False,
        "outcome": Outcome.OK,
        "status": 200,
        "code": None,
        "replica": "engine-0",
        "attempts": 1,
        "usage": None,
        "arrived": 10.0,
        "dispatched": 10.1,
        "first_content": 10.25,
        "ended": 10.5,
    }
    return End(**{**values, **changes})


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> Metrics:
    return Metrics(registry, "1.2.3")


def test_each_end_is_counted_once_under_its_outcome(registry, metrics):
    for outcome in (Outcome.OK, Outcome.OK, Outcome.CLIENT_GONE):
        metrics.on_end(end(outcome=outcome))
    labels = {"model": "m", "operation": "chat"}
    assert registry.get_sample_value("cascadia_requests_total", {**labels, "outcome": "ok"}) == 2
    assert registry.get_sample_value("cascadia_requests_total", {**labels, "outcome": "client_gone"}) == 1
    assert registry.get_sample_value("cascadia_requests_total", {**labels, "outcome": "evicted"}) is None


def test_a_call_that_named_no_model_is_counted_and_nothing_else_of_it(registry, metrics):
    metrics.on_end(end(model=None, usage=Usage(1, 1, 1)))
    labels = {"model": "none", "operation": "chat"}
    assert registry.get_sample_value("cascadia_requests_total", {**labels, "outcome": "ok"}) == 1
    assert registry.get_sample_value("cascadia_request_duration_seconds_count", labels) is None
    assert registry.get_sample_value("cascadia_tokens_total", {"model": "none", "type": "prompt"}) is None


def test_only_answers_in_full_have_a_duration(registry, metrics):
    metrics.on_end(end(outcome=Outcome.CLIENT_GONE))
    metrics.on_end(end())
    labels = {"model": "m", "operation": "chat"}
    assert registry.get_sample_value("cascadia_request_duration_seconds_count", labels) == 1
    assert registry.get_sample_value("cascadia_request_duration_seconds_sum", labels) == 0.5


def test_a_value_on_a_bound_falls_into_the_bucket_of_that_bound(registry, metrics):
    metrics.on_end(end(ended=10.5))
    buckets = {
        le: registry.get_sample_value(
            "cascadia_request_duration_seconds_bucket", {"model": "m", "operation": "chat", "le": le}
        )
        for le in ("0.25", "0.5", "0.75", "+Inf")
    }
    assert buckets == {"0.25": 0, "0.5": 1, "0.75": 1, "+Inf": 1}


def test_a_value_above_every_bound_is_counted(registry, metrics):
    metrics.on_end(end(ended=10_000.0))
    labels = {"model": "m", "operation": "chat"}
    bucket = "cascadia_request_duration_seconds_bucket"
    assert registry.get_sample_value(bucket, {**labels, "le": "600.0"}) == 0
    assert registry.get_sample_value(bucket, {**labels, "le": "+Inf"}) == 1


def test_only_streams_have_a_time_to_the_first_token(registry, metrics):
    labels = {"model": "m", "operation": "chat"}
    metrics.on_end(end())
    assert registry.get_sample_value("cascadia_time_to_first_token_seconds_count", labels) is None
    metrics.on_end(end(stream=True))
    metrics.on_end(end(stream=True, first_content=None))
    assert registry.get_sample_value("cascadia_time_to_first_token_seconds_count", labels) == 1
    assert registry.get_sample_value("cascadia_time_to_first_token_seconds_sum", labels) == 0.25


def test_tokens_of_all_operations_of_a_model_are_one_sum(registry, metrics):
    metrics.on_end(end(usage=Usage(prompt_tokens=5, completion_tokens=7, cached_tokens=2)))
    metrics.on_end(end(operation="completions", usage=Usage(prompt_tokens=10)))
    tokens = {
        kind: registry.get_sample_value("cascadia_tokens_total", {"model": "m", "type": kind})
        for kind in ("prompt", "cached", "completion")
    }
    assert tokens == {"prompt": 15, "cached": 2, "completion": 7}


def test_the_exposition_is_well_formed(registry, metrics):
    metrics.on_end(end(stream=True, model='odd "name"\n'))
    families = list(text_string_to_metric_families(generate_latest(registry).decode()))
    assert {family.name for family in families} >= {
        "cascadia_requests",
        "cascadia_request_duration_seconds",
        "cascadia_time_to_first_token_seconds",
        "cascadia_tokens",
        "cascadia_build_info",
    }
