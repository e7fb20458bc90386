"""Moves records from the spool into the database: each once, in order, however often the database goes away.

Rows go in by the id of their record, so that to do a part again changes nothing. A segment is removed once all its rows
are committed, and what is still open in it was written anew.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Protocol

from gateway.core.errors import StoreUnavailable
from gateway.ledger import segments
from gateway.ledger.ledger import Ledger
from gateway.ledger.records import Began, Ended, Progress, Record, unknown
from gateway.ledger.spool import Spool

log = logging.getLogger(__name__)

EVERY = 1.0
"""Seconds between two looks into the spool."""
PRUNE_EVERY = 3600.0
BATCH = 500
LONGEST_BACKOFF = 30.0
FINISH_SECONDS = 5.0
"""How long a stop waits for the database; what is not there by then is moved at the next start."""
_COMMIT_SECONDS = 5.0


class Rows(Protocol):
    """Where rows end up."""

    async def add(self, rows: Sequence[Ended]) -> None:
        """Keep them, each once by its id. Raises `StoreUnavailable`; then it is not known whether they are kept."""
        ...

    async def prune(self) -> None:
        """Remove what is older than it has to be kept. Raises `StoreUnavailable`."""
        ...


class Drain:
    """Moves the records of `spool` to `rows`. `clock` is monotonic."""

    def __init__(self, spool: Spool, ledger: Ledger, rows: Rows, *, clock: Callable[[], float]) -> None:
        self.moved = 0
        """Rows that were brought to the database."""
        self.torn_bytes = 0
        """Bytes in the spool that were no records."""
        self._spool = spool
        self._ledger = ledger
        self._rows = rows
        self._clock = clock
        self._offsets: dict[int, int] = {}
        self._even_at = clock()
        self._pruned_at = -PRUNE_EVERY

    @property
    def lag(self) -> float:
        """Seconds since all that was on disk was in the database too."""
        return self._clock() - self._even_at

    async def run(self) -> None:
        """Work until cancelled."""
        backoff = EVERY
        while True:
            # First: to open the database takes a third of a second of a processor, and a gateway has to begin to serve.
            await asyncio.sleep(backoff)
            try:
                await self.step()
                await self._prune()
                backoff = EVERY
            except StoreUnavailable:
                backoff = min(2 * backoff, LONGEST_BACKOFF)
            except OSError as error:
                log.warning("the ledger's spool cannot be read", extra={"error": str(error)})
                backoff = min(2 * backoff, LONGEST_BACKOFF)

    async def step(self) -> None:
        """Move all that is on disk now. Raises `StoreUnavailable` and `OSError`; then it may be done again."""
        began_at = self._clock()
        if self._spool.previous:
            await self._recover()
        current, sizes = self._spool.current, dict(self._spool.sizes)
        for number, size in sizes.items():
            offset = self._offsets.get(number, 0)
            if size > offset:
                records = await self._read(number, offset, size)
                await self._add([each for each in records if isinstance(each, Ended)])
                self._offsets[number] = size
            if number < current and await self._carried():
                self._spool.forget(number)
                self._offsets.pop(number, None)
        self._even_at = began_at

    async def finish(self) -> None:
        """Move the rest after the spool was closed, and remove the files if nothing in them is open. Never raises."""
        try:
            async with asyncio.timeout(FINISH_SECONDS):
                await self.step()
        except (TimeoutError, StoreUnavailable, OSError):
            log.warning("records stay in the spool until the next start")
            return
        if not self._ledger.open and self._spool.committed == self._spool.number:
            for number in list(self._spool.sizes):
                self._spool.forget(number)

    async def _recover(self) -> None:
        """Move what earlier processes left; calls of theirs that never ended become `unknown`."""
        began: dict[str, Began] = {}
        tokens: dict[str, int] = {}
        ended: set[str] = set()
        left = list(self._spool.previous)
        for number in left:
            records = await self._read(number, 0, None)
            rows: list[Ended] = []
            for each in records:
                if isinstance(each, Ended):
                    rows.append(each)
                    ended.add(each.id)
                elif isinstance(each, Progress):
                    tokens[each.id] = max(each.tokens, tokens.get(each.id, 0))
                else:
                    began[each.id] = each
            await self._add(rows)
        lost = [unknown(each, tokens.get(id_, 0)) for id_, each in began.items() if id_ not in ended]
        await self._add(lost)
        for number in left:
            self._spool.forget(number)
        if lost:
            log.warning("calls of a killed gateway recorded as unknown", extra={"calls": len(lost)})

    async def _read(self, number: int, start: int, end: int | None) -> list[Record]:
        found = await asyncio.to_thread(segments.read, self._spool.folder, number, start, end)
        self.torn_bytes += found.torn
        return found.records

    async def _add(self, rows: Sequence[Ended]) -> None:
        for start in range(0, len(rows), BATCH):
            batch = rows[start : start + BATCH]
            await self._rows.add(batch)
            self.moved += len(batch)

    async def _carried(self) -> bool:
        """Whether all that is open is on disk in a newer segment."""
        self._ledger.carry()
        number = self._spool.number
        deadline = self._clock() + _COMMIT_SECONDS
        while self._spool.committed < number:
            if self._clock() > deadline:
                return False
            await asyncio.sleep(0.01)
        return True

    async def _prune(self) -> None:
        now = self._clock()
        if now - self._pruned_at >= PRUNE_EVERY:
            await self._rows.prune()
            self._pruned_at = now
