"""Random numbers from one seed, a stream for each purpose.

A purpose that draws more often than before does not change what another one gets: a schedule stays the same schedule
when the network learns a new trick.
"""

from __future__ import annotations

import random


class Chance:
    """All streams of one seed. Text seeds a generator through SHA-512: the same in every process."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def of(self, purpose: str) -> random.Random:
        """A new generator for `purpose`, the same one every time."""
        return random.Random(f"{self.seed}/{purpose}")
