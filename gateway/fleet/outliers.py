"""Which replicas are slow, not dead: by what their peers take for the same work.

A replica is compared with the median of the others, so that a pool that is slow as a whole has no slow replica in it,
and at most half of a pool is ever called slow: what most of them do is not an exception.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from statistics import median

from gateway.fleet.replica import Replica

SLOW = 3.0
"""Times as long as the median of its peers."""
NOT_SLOW = 2.0
"""A slow one stays so until it is quicker than this: or it would come and go."""
SLOWEST = 10.0
MARGIN_SECONDS = 0.005
"""What is no difference, however many times more it is: a token every 1 ms, not every 0.2."""


def compare(replicas: Sequence[Replica], slow_before: Collection[Replica]) -> list[Replica]:
    """Set the slowness of `replicas` and return the slow ones, the slowest first."""
    firsts = [r.pace.first.known() for r in replicas]
    tokens = [r.pace.token.known() for r in replicas]
    for place, replica in enumerate(replicas):
        ratio = max(_ratio(firsts, place), _ratio(tokens, place))
        replica.pace.slowness = min(SLOWEST, max(1.0, ratio))
    slow = [r for r in replicas if r.pace.slowness >= (NOT_SLOW if r in slow_before else SLOW)]
    slow.sort(key=lambda replica: -replica.pace.slowness)
    return slow[: len(replicas) // 2]


def _ratio(values: Sequence[float | None], place: int) -> float:
    own = values[place]
    peers = [value for at, value in enumerate(values) if at != place and value is not None]
    if own is None or not peers:
        return 1.0
    usual = median(peers)
    return 1.0 if own - usual < MARGIN_SECONDS else own / max(usual, MARGIN_SECONDS)
