"""Which kinds of faults there are in a schedule, and how often; and the small draws that everything shares."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

from simulation.world.wire import Cut, How, Wire

KINDS = (
    "status",
    "error event",
    "garbage",
    "no http",
    "early end",
    "unfinished",
    "close",
    "hang",
    "death",
    "upstream cut",
    "restart",
    "vanishing",
    "freeze",
    "publishing",
    "stale",
    "idle talk",
    "slow engine",
    "fat answer",
    "back pressure",
    "leaving",
    "slow reader",
    "slow sender",
    "client cut",
    "pipelining",
    "flaw",
    "large body",
    "poison",
    "slicing",
    "drain",
    "memory",
)
"""Kinds of trouble. Each is on in a third of all schedules."""
SHARE_ON = 0.33
SMALL_BYTES = 2 * 1024
LONG_SECONDS = 0.01
"""Over a longer wire, so small a buffer would be no slow client but hardly a network."""
_T = TypeVar("_T")


class Weather:
    """What is on, and how likely each is where it could strike."""

    def __init__(self, rng: random.Random) -> None:
        self._likely = {
            kind: rng.choice((0.1, 0.3, 0.6)) if rng.random() < SHARE_ON else 0.0 for kind in KINDS
        }

    def is_on(self, kind: str) -> bool:
        """Whether this schedule has it at all."""
        return self._likely[kind] > 0

    def strikes(self, rng: random.Random, kind: str) -> bool:
        """Whether it strikes here."""
        return rng.random() < self._likely[kind]

    def pick(self, rng: random.Random, *kinds: str) -> str | None:
        """One of `kinds`, or none: the likelier they are, the seldomer none."""
        for kind in sorted(kinds, key=lambda _: rng.random()):
            if self.strikes(rng, kind):
                return kind
        return None

    def wire(self, rng: random.Random) -> Wire:
        """The conditions of a connection."""
        latency = rng.choice((0.00005, 0.0005, 0.003, 0.02, 0.08))
        sliced = rng.choice((3, 17, 200, 1500)) if self.strikes(rng, "slicing") else 0
        return Wire(
            latency=latency,
            slice_bytes=sliced,
            capacity_bytes=rng.choice(
                (SMALL_BYTES if latency < LONG_SECONDS else 16 * 1024, 16 * 1024, 256 * 1024)
            ),
            high_water_bytes=rng.choice((1024, 64 * 1024)),
        )


def draw_cut(rng: random.Random, most_bytes: int) -> Cut:
    """A break somewhere in the first `most_bytes`, often near the beginning."""
    return Cut(
        after_bytes=rng.randint(0, rng.choice((200, most_bytes))),
        to_opener=rng.random() < 0.7,
        how=rng.choice((How.FIN, How.RST, How.RST, How.HOLE)),
    )


def weighted(rng: random.Random, choices: Sequence[tuple[int, _T]]) -> _T:
    """One of `choices`, by its weight."""
    return rng.choices([value for _, value in choices], [weight for weight, _ in choices])[0]
