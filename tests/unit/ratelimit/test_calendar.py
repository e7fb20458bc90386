"""Days and months have one name and meet without a gap."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.ratelimit.base import Calendar
from gateway.ratelimit.calendar import stretch_of


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("kind", "now", "name", "begins", "ends"),
    [
        (Calendar.DAY, "2026-11-24T17:00:00", "2026-11-24", "2026-11-24", "2026-11-25"),
        (Calendar.DAY, "2026-12-31T23:59:59", "2026-12-31", "2026-12-31", "2027-01-01"),
        (Calendar.MONTH, "2026-11-24T17:00:00", "2026-11", "2026-11-01", "2026-12-01"),
        (Calendar.MONTH, "2026-12-01T00:00:00", "2026-12", "2026-12-01", "2027-01-01"),
        (Calendar.MONTH, "2028-02-29T12:00:00", "2028-02", "2028-02-01", "2028-03-01"),
    ],
)
def test_a_stretch_is_from_its_first_moment_to_the_next_ones(
    kind: Calendar, now: str, name: str, begins: str, ends: str
) -> None:
    assert stretch_of(kind, at(now)) == (name, at(begins), at(ends))


@given(st.sampled_from(Calendar), st.floats(0, 4e9))
def test_every_moment_lies_in_its_stretch_and_the_next_begins_where_it_ends(
    kind: Calendar, now: float
) -> None:
    stretch = stretch_of(kind, now)
    assert stretch.begins <= now < stretch.ends
    following = stretch_of(kind, stretch.ends)
    assert following.begins == stretch.ends
    assert following.name > stretch.name
