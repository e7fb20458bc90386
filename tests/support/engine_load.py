"""How many requests the worker of a product runs, by the engine's own count."""

from __future__ import annotations

import re
import time

import httpx

from tests.support.product import Product, until

IDLE_SECONDS = 5.0
"""Much more than it takes: a busy machine must not fail a test."""
POLL_SECONDS = 0.05
"""A metrics page costs the engine 8 ms."""

_COUNTS = re.compile(r"^vllm:num_requests_(?:running|waiting)\{[^}]*\} (\S+)", re.MULTILINE)


def running(engine: httpx.Client) -> float:
    """Requests that the engine runs or keeps waiting; one for `n` answers counts `n` times."""
    counts = _COUNTS.findall(engine.get("http://engine/metrics").raise_for_status().text)
    assert counts, "the engine does not say"
    return sum(map(float, counts))


def wait_until_running(product: Product, count: int, *, seconds: float = 30.0) -> float:
    """Wait until the engine runs exactly `count` requests; how long that took, in seconds."""
    began = time.monotonic()
    with product.engine() as engine:
        until(
            lambda: running(engine) == count,
            seconds=seconds,
            what=lambda: f"the engine runs {running(engine):.0f} requests, not {count}",
            every=POLL_SECONDS,
        )
    return time.monotonic() - began


def wait_until_idle(product: Product) -> float:
    """Wait until the engine runs nothing; how long that took, in seconds."""
    return wait_until_running(product, 0, seconds=IDLE_SECONDS)
