"""Shared counters over the server at a place, with all that they need."""

from __future__ import annotations

import random
from collections.abc import Callable

from gateway.ratelimit.base import Counters
from gateway.ratelimit.shared import scripts
from gateway.ratelimit.shared.census import Census
from gateway.ratelimit.shared.counters import SharedCounters, beat_tail
from gateway.ratelimit.shared.link import Link
from gateway.ratelimit.shared.place import Place
from gateway.ratelimit.shared.wire import Patience


def shared_counters(
    place: Place,
    *,
    name: str,
    local: Callable[[], Counters],
    clock: Callable[[], float],
    wall: Callable[[], float],
    rng: random.Random,
    refuses_alone: bool = False,
    patience: Patience | None = None,
    census: Census | None = None,
) -> SharedCounters:
    """Counters of the gateway `name`, which no other may have. Nothing is connected until they `run`."""
    found = scripts.read()
    link = Link(
        place.dial(),
        found,
        login=place.login,
        beat=beat_tail(name),
        clock=clock,
        rng=rng,
        patience=patience,
        census=census,
    )
    return SharedCounters(
        link, found, name=name, clock=clock, wall=wall, local=local, refuses_alone=refuses_alone
    )
