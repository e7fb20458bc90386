"""Several spools of one service: each process has the first folder that no other has, and what is left anywhere is moved.

The folder of a process that was killed is free at once: whoever is started next has it, and goes on from there. Until then,
or when nobody is, another one moves what is in it.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterator
from pathlib import Path

from gateway.core.errors import StoreUnavailable
from gateway.ledger import segments
from gateway.ledger.clerk.clerk import Clerk
from gateway.ledger.drain import Drain
from gateway.ledger.ledger import Ledger
from gateway.ledger.spool import Spool, SpoolError, SpoolTaken

LOOK_EVERY = 10.0
"""Seconds between two looks for what somebody left."""
MOST_PLACES = 1024
_NAME = "process-"

log = logging.getLogger(__name__)

Make = Callable[[Path], Spool]
"""Makes the spool of a folder; it is not open."""


def places(root: Path) -> Iterator[Path]:
    """The folders of spools: that of a process that is alone is the first of several too."""
    yield root
    for number in range(1, MOST_PLACES):
        yield root / f"{_NAME}{number}"


def is_shared(root: Path) -> bool:
    """Whether several processes have spools there, or had."""
    return any(root.glob(f"{_NAME}*"))


def first_free(root: Path, make: Make) -> Spool:
    """The spool of the first folder that no process has, open. Raises `SpoolError`."""
    for folder in places(root):
        spool = make(folder)
        try:
            spool.open()
        except SpoolTaken:
            continue
        return spool
    raise SpoolError(f"{root}: {MOST_PLACES} processes have a spool here")


class Adoption:
    """Has moved what other processes left beside `own`. `clock` is monotonic, `now` gives Unix seconds.

    `make` makes the spool of a folder and `clerk_of` who moves what is in it.
    """

    def __init__(
        self,
        root: Path,
        own: Path,
        make: Make,
        clerk_of: Callable[[Path], Clerk],
        *,
        clock: Callable[[], float],
        now: Callable[[], float],
        rng: random.Random,
    ) -> None:
        self.moved = 0
        """Rows that were brought to the database."""
        self._root = root
        self._own = own
        self._make = make
        self._clerk_of = clerk_of
        self._clock = clock
        self._now = now
        self._rng = rng

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            await self.look()

    async def look(self) -> None:
        """Move what is in folders that nobody has. What the database does not take stays for the next look."""
        for folder in await asyncio.to_thread(self._left):
            try:
                await self._adopt(folder)
            except SpoolTaken:
                continue
            except (StoreUnavailable, SpoolError, OSError) as error:
                log.warning("records of another process are not moved", extra={"error": str(error)})
                return

    def _left(self) -> list[Path]:
        """Folders beside our own with segments in them: who is killed leaves one at least, who ends well leaves none."""
        found = [self._root, *sorted(self._root.glob(f"{_NAME}*"))]
        return [each for each in found if each != self._own and segments.numbers(each)]

    async def _adopt(self, folder: Path) -> None:
        spool = self._make(folder)
        spool.open()
        clerk = self._clerk_of(folder)
        try:
            drain = Drain(spool, Ledger(spool, now=self._now, rng=self._rng), clerk, clock=self._clock)
            try:
                await drain.step()
            finally:
                self.moved += drain.moved
                await asyncio.to_thread(spool.close)
            await drain.finish()
            log.info("records of another process moved", extra={"spool": str(folder), "rows": drain.moved})
        finally:
            await clerk.close()
            spool.release()
