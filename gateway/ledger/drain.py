"""Moves records from the spool into the database: each once, in order, however often the database goes away.

Rows go in by the id of their record, so that to do a part again changes nothing. A segment is removed once all its rows
are committed, and what is still open in it was written anew.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from gateway.core.errors import StoreUnavailable
from gateway.ledger.ledger import Ledger
from gateway.ledger.moving import Moved, Mover
from gateway.ledger.spool import Spool

log = logging.getLogger(__name__)

EVERY = 1.0
"""Seconds between two looks into the spool."""
PRUNE_EVERY = 3600.0
LONGEST_BACKOFF = 30.0
FINISH_SECONDS = 5.0
"""How long a stop waits for the database; what is not there by then is moved at the next start."""
_COMMIT_SECONDS = 5.0


class Drain:
    """Has the records of `spool` moved by `mover`. `clock` is monotonic."""

    def __init__(self, spool: Spool, ledger: Ledger, mover: Mover, *, clock: Callable[[], float]) -> None:
        self.moved = 0
        """Rows that were brought to the database."""
        self.refused = 0
        """Rows that the database did not take for their values."""
        self.torn_bytes = 0
        """Bytes in the spool that were no records."""
        self._spool = spool
        self._ledger = ledger
        self._mover = mover
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
            # First: to start who moves takes a tenth of a second of a processor, and a gateway has to begin to serve.
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
                self._count(await self._mover.move(number, offset, size))
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
        """Have moved what earlier processes left."""
        left = list(self._spool.previous)
        found = await self._mover.recover(left)
        self._count(found)
        for number in left:
            self._spool.forget(number)
        if found.lost:
            log.warning("calls of a killed gateway recorded as unknown", extra={"calls": found.lost})

    def _count(self, found: Moved) -> None:
        self.moved += found.rows
        self.refused += found.refused
        self.torn_bytes += found.torn

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
            await self._mover.prune()
            self._pruned_at = now
