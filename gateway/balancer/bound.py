"""Bounded loads: whatever draws calls to one replica, it takes no more than a quarter above the mean.

From Mirrokni, Thorup and Zadimoghaddam, "Consistent Hashing with Bounded Loads" (2016). Loads are relative to what a
replica may hold. A few calls are always allowed: an engine computes them as quickly as one.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.fleet.replica import Replica

BOUND = 1.25
"""Times the mean."""
FEW = 4
"""Calls that are no load."""


def within_bound(replicas: Sequence[Replica]) -> list[Replica]:
    """Those of `replicas` that may take one more call, the least loaded if all are above; none when none has room."""
    held = room = 0
    for replica in replicas:
        held += replica.in_flight
        room += replica.limit
    most = BOUND * (held + 1) / room if room else 0.0
    kept = [
        r
        for r in replicas
        if not r.is_resting and (now := r.in_flight) < r.limit and (now < FEW or now + 1 <= most * r.limit)
    ]
    return kept or _least(replicas)


def _least(replicas: Sequence[Replica]) -> list[Replica]:
    roomy = [r for r in replicas if r.has_room()]
    if not roomy:
        return roomy
    least = min(r.in_flight / r.limit for r in roomy)
    return [r for r in roomy if r.in_flight / r.limit == least]
