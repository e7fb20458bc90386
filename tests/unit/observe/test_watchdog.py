from __future__ import annotations

import asyncio
import logging
import threading
import time
from typing import Any

import pytest

from gateway.observe.watchdog import BEAT_SECONDS, HELD_UP_SECONDS, REMEMBERED_SECONDS, Watchdog


def hold_up(until: threading.Event) -> None:
    """Code that does not give the loop back."""
    until.wait(10)


async def test_what_holds_the_loop_up_is_named_once() -> None:
    told = threading.Event()
    records: list[Any] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)
            told.set()

    watchdog = Watchdog()
    logger = logging.getLogger("gateway.observe.watchdog")
    listener = Listener()
    logger.addHandler(listener)
    beating = asyncio.create_task(watchdog.beat())
    try:
        await asyncio.sleep(0)
        hold_up(told)
        # On a busy machine the loop may be held up by others too.
        (record,) = [each for each in records if any(line.startswith("hold_up (") for line in each.stack)]
        assert record.seconds >= HELD_UP_SECONDS
        await asyncio.sleep(0.2)
        worst = watchdog.worst_lag()
        assert worst >= HELD_UP_SECONDS
        assert watchdog.worst_lag() == worst  # who asks first takes nothing from who asks next
    finally:
        logger.removeHandler(listener)
        beating.cancel()
        await asyncio.gather(beating, return_exceptions=True)
        watchdog._thread.join(5)


async def test_a_loop_that_runs_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    """With a clock that stands still nothing is ever late, however busy the machine is."""
    watchdog = Watchdog(clock=lambda: 1.0)
    beating = asyncio.create_task(watchdog.beat())
    await asyncio.to_thread(time.sleep, 0.3)
    beating.cancel()
    await asyncio.gather(beating, return_exceptions=True)
    watchdog._thread.join(5)
    assert not caplog.records
    assert watchdog.worst_lag() == 0.0


async def test_a_lag_is_forgotten_in_the_end() -> None:
    now = 0.0

    def clock() -> float:
        return now

    watchdog = Watchdog(clock=clock)
    beating = asyncio.create_task(watchdog.beat())
    try:
        await asyncio.sleep(0)
        now = 5.0
        await asyncio.sleep(2 * BEAT_SECONDS)
        assert watchdog.worst_lag() > 4
        seen = []
        for _ in range(3):
            now += REMEMBERED_SECONDS + BEAT_SECONDS / 2
            watchdog._beaten_at = now  # the loop was well all the time
            await asyncio.sleep(2 * BEAT_SECONDS)
            seen.append(watchdog.worst_lag())
        assert seen[0] > 4
        assert seen[2] < 4
    finally:
        beating.cancel()
        await asyncio.gather(beating, return_exceptions=True)
        watchdog._thread.join(5)
