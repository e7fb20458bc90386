"""Hundreds of slow connections: the honest client is served all the while, and each slow one is closed (F58, F60, G15)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.faults.asking import Got
from tests.faults.processes import in_front_of
from tests.faults.slow import Slow, Times, engines_in, siege

TIMES = Times(header=3, body=4, idle=4, stall=3)
COUNTS = {
    "says nothing": 120,
    "slow head": 120,
    "slow body": 80,
    "slow chunks": 40,
    "idle": 130,
}
UNREAD = 10


async def test_slow_connections_are_closed_in_their_time_and_harm_nobody(
    short_folder: Path, tmp_path: Path, figure: Callable[[str, str], None]
) -> None:
    how = {"sections": TIMES.sections(sum(COUNTS.values()) + UNREAD), "max_in_flight": 10_000}
    with in_front_of(engines_in(short_folder), tmp_path, **how) as gateway:
        found = await siege(gateway, TIMES, counts=COUNTS, unread=UNREAD, drip_seconds=0.5)
        figure("slow connections", f"{found}; peak memory {gateway.peak_bytes / 1e6:.0f} MB")
        assert len(found.slow) == sum(COUNTS.values()) == 490
        assert not found.left()
        assert len(found.unread) == UNREAD
        assert not found.late(TIMES)
        assert set(found.honest) == {Got.COMPLETE}
        assert len(found.busy_seconds) > 20
        assert_told(found.slow)
        gateway.wait_until_nothing_is_held()


def assert_told(slow: list[Slow]) -> None:
    """Who was in the middle of a request is told why; who was not, or does not read, is not told anything."""
    for one in slow:
        if one.name.startswith("slow"):
            assert one.received.startswith(b"HTTP/1.1 408 "), (one.name, one.received)
        elif one.name == "says nothing":
            assert not one.received
        elif one.name == "idle":
            assert one.received.startswith(b"HTTP/1.1 200 ")
