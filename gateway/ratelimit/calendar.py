"""Days and months in UTC, as counts are kept for them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from gateway.ratelimit.base import Calendar

_DECEMBER = 12


class Stretch(NamedTuple):
    """One day or month."""

    name: str
    """`2026-11-24` or `2026-11`: never that of another."""
    begins: float
    """Unix seconds."""
    ends: float
    """Unix seconds at which the next one begins."""


def stretch_of(kind: Calendar, now: float) -> Stretch:
    """The day or month in which `now`, in Unix seconds, lies."""
    at = datetime.fromtimestamp(now, UTC)
    first = at.replace(hour=0, minute=0, second=0, microsecond=0)
    if kind is Calendar.DAY:
        return Stretch(f"{first:%Y-%m-%d}", first.timestamp(), (first + timedelta(days=1)).timestamp())
    first = first.replace(day=1)
    after = (
        first.replace(year=first.year + 1, month=1)
        if first.month == _DECEMBER
        else first.replace(month=first.month + 1)
    )
    return Stretch(f"{first:%Y-%m}", first.timestamp(), after.timestamp())
