"""Drawing a size."""

from __future__ import annotations

import math
from random import Random

from simulation.capacity.scenario import Sizes


def draw(sizes: Sizes, rng: Random) -> int:
    """So many tokens."""
    if sizes.fixed is not None:
        return sizes.fixed
    if sizes.uniform is not None:
        low, high = sizes.uniform
        return rng.randint(min(low, high), max(low, high))
    if sizes.lognormal is not None:
        tail = sizes.lognormal
        return max(1, min(tail.most, round(rng.lognormvariate(math.log(tail.median), tail.sigma))))
    parts = sizes.mix or ()
    return rng.choices([part.tokens for part in parts], [part.share for part in parts])[0]
