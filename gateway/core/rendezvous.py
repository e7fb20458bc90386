"""Rendezvous hashing (Thaler and Ravishankar, 1998): each candidate has a number for each key, and the highest gets it.

When a candidate comes or goes only its own keys move. The numbers are the same in every process, and need no state.
"""

from __future__ import annotations

import math
from hashlib import blake2b

_MASK = (1 << 64) - 1
_DISCARDED_BITS, _KEPT = 11, 2.0**-53


def number_of(data: bytes) -> int:
    """64 bits of `data`'s hash."""
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "big")


def mixed(number: int) -> int:
    """`number` with each of its bits spread over all (the finisher of splitmix64, Steele, Lea and Flood, 2014)."""
    number = ((number ^ (number >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    number = ((number ^ (number >> 27)) * 0x94D049BB133111EB) & _MASK
    return number ^ (number >> 31)


def weighted(number: int, weight: float) -> float:
    """What the candidate of a `mixed` number bids, so that it is the highest in proportion to `weight`, which is above 0.

    The logarithmic method (Schindelhauer and Schomaker, 2005): a change of one candidate's weight moves keys to it or
    from it, and no other.
    """
    uniform = ((number >> _DISCARDED_BITS) + 0.5) * _KEPT
    return -weight / math.log(uniform)
