"""The benchmark of limits asks under limits, and is answered."""

from __future__ import annotations

from benchmarks import limits


async def test_every_set_of_limits_is_measured() -> None:
    found = await limits.measure(1)
    assert found.keys() == limits.LIMITS.keys()
    assert all(microseconds > 0 for microseconds in found.values())
