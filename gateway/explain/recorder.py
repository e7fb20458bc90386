"""The last calls, as many as there is room for: bounded in number and in bytes, the oldest go first.

A client may send any id, the id of another call too: nothing is found by its id but by looking at all, which costs
milliseconds when somebody asks and nothing on a request's path. The looking gives the event loop back now and then.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from gateway.core.outcome import End
from gateway.explain.record import Record, kept, size_of, told

_AT_ONCE = 2000
"""Records that are looked at before the event loop goes on."""


class Page(NamedTuple):
    """Some records, newest first, each with its place; `next` is where to go on, `None` at the end."""

    records: list[tuple[int, Record]]
    next: int | None


class Recorder:
    """Keeps `max_records` at most, and `max_bytes` about. Zero records keep nothing."""

    def __init__(self, *, max_records: int, max_bytes: int) -> None:
        self._max_records = max_records
        self._max_bytes = max_bytes
        self._records: deque[tuple[Any, ...]] = deque()
        self._seen = 0
        self.held_bytes = 0

    def __repr__(self) -> str:
        return f"<Recorder {len(self._records)} of {self._seen}, {self.held_bytes} bytes>"

    def __len__(self) -> int:
        return len(self._records)

    def on_end(self, end: End) -> None:
        """Keep what became of a call."""
        if not self._max_records:
            return
        record = kept(end)
        records = self._records
        records.append(record)
        self._seen += 1
        self.held_bytes += size_of(record)
        while len(records) > self._max_records or (self.held_bytes > self._max_bytes and records):
            self.held_bytes -= size_of(records.popleft())

    async def page(self, wanted: Callable[[Record], bool], *, limit: int, before: int | None = None) -> Page:
        """The newest `limit` records that are `wanted`, of those before the place `before`.

        Places stay what they are while records come and go: nothing is shown twice or passed over.
        """
        records, place = list(self._records), self._seen
        found: list[tuple[int, Record]] = []
        looked_at = 0
        while records:
            place -= 1
            fields = records.pop()
            if before is not None and place >= before:
                continue
            looked_at += 1
            if looked_at % _AT_ONCE == 0:
                await asyncio.sleep(0)
            record = told(fields)
            if not wanted(record):
                continue
            if len(found) == limit:
                return Page(found, found[-1][0])
            found.append((place, record))
        return Page(found, None)
