"""Notices when the event loop is held up, and by what.

All calls share one loop: code that does not give it back for a quarter of a second is a fault to be found, and its stack
at that moment says where. The loop beats; a thread of its own listens.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable

BEAT_SECONDS = 0.1
HELD_UP_SECONDS = 0.25
REMEMBERED_SECONDS = 30.0
"""How long a lag is told at least. Twice as long at most: who asks every quarter of a minute misses none, nor does a second one."""
_DEEPEST = 20
"""Frames of a stack that are shown, the innermost ones."""

log = logging.getLogger(__name__)


class Watchdog:
    """Watches the loop that runs `beat`, from a thread. `clock` gives monotonic seconds."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._beaten_at = clock()
        self._watched = threading.get_ident()
        self._over = threading.Event()
        self._worst = self._former = 0.0
        self._turned_at = clock()
        self._thread = threading.Thread(target=self._listen, name="watchdog", daemon=True)

    async def beat(self) -> None:
        """Beat until cancelled, on the loop that is watched."""
        self._watched = threading.get_ident()
        self._beaten_at = self._clock()
        self._thread.start()
        try:
            while True:
                await asyncio.sleep(BEAT_SECONDS)
                now = self._clock()
                self._worst = max(self._worst, now - self._beaten_at - BEAT_SECONDS)
                self._beaten_at = now
                if now - self._turned_at > REMEMBERED_SECONDS:
                    self._former, self._worst, self._turned_at = self._worst, 0.0, now
        finally:
            self._over.set()

    def worst_lag(self) -> float:
        """The longest that the loop was late in the last `REMEMBERED_SECONDS` or up to twice as long, in seconds."""
        return max(0.0, self._worst, self._former)

    def _listen(self) -> None:
        told = 0.0
        while not self._over.wait(BEAT_SECONDS):
            beaten_at = self._beaten_at
            late = self._clock() - beaten_at - BEAT_SECONDS
            if late > HELD_UP_SECONDS and beaten_at != told:
                told = beaten_at
                log.warning(
                    "event loop held up", extra={"seconds": round(late, 2), "stack": _stack(self._watched)}
                )


def _stack(thread: int) -> list[str]:
    frame = sys._current_frames().get(thread)  # noqa: SLF001 - the one way to see another thread's stack
    if frame is None:
        return []
    frames = traceback.extract_stack(frame)[-_DEEPEST:]
    return [f"{each.name} ({each.filename}:{each.lineno})" for each in frames]
