"""When requests of an open loop are due: drawn beforehand, so that no answer can hold a request back."""

from __future__ import annotations

import random


def poisson(rate: float, seconds: float, seed: int) -> list[float]:
    """Instants in `[0, seconds)` of a Poisson process of `rate` a second, rising; the same for the same seed."""
    rng = random.Random(seed)
    instants: list[float] = []
    now = rng.expovariate(rate)
    while now < seconds:
        instants.append(now)
        now += rng.expovariate(rate)
    return instants


def staggered(count: int, seconds: float) -> list[float]:
    """`count` instants spread evenly over `[0, seconds)`: streams that start so do not tick in step."""
    return [index * seconds / count for index in range(count)]
