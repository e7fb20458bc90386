"""What a connection is like, and how it may be broken. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Wire:
    """One connection's conditions, the same in both directions."""

    latency: float = 0.0005
    """Seconds that a segment takes, more or less."""
    slice_bytes: int = 0
    """Segments are cut into random pieces of at most this; 0 leaves them as they come together."""
    capacity_bytes: int = 256 * 1024
    """What the kernels hold for a reader that does not read."""
    high_water_bytes: int = 64 * 1024
    """What a transport keeps beyond that before it says `pause_writing`."""


class How(StrEnum):
    """How a connection ends, or does not."""

    FIN = "fin"  # in order, as by `close`
    RST = "rst"  # what is on its way is lost
    HOLE = "hole"  # nothing arrives any more and nobody is told


@dataclass(frozen=True, slots=True)
class Cut:
    """Something between the two ends breaks the connection at a byte of one direction."""

    after_bytes: int
    to_opener: bool
    """Counted towards whoever opened the connection, else towards who accepted it."""
    how: How
