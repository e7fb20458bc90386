"""From the spool's files to rows: reads what it is told to read and brings each record to the database once.

Knows nothing of what is still written and removes no file: `drain` does. So it may be killed at any moment, and asked for
the same again.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from gateway.ledger import segments
from gateway.ledger.cost import Price
from gateway.ledger.ledger import NO_PRICES
from gateway.ledger.records import Began, Ended, Progress, unknown
from gateway.ledger.rows.base import Refused, Rows

log = logging.getLogger(__name__)

BATCH = 2_000
"""Rows of one transaction."""
REFUSED = "refused.jsonl"
"""The file for rows whose values the database does not take."""
_MOST_REFUSED_BYTES = 16 * 1024 * 1024


class Moved(msgspec.Struct, frozen=True, tag=True):
    """What came of one call."""

    rows: int = 0
    """Rows that are in the database now."""
    torn: int = 0
    """Bytes that were no records."""
    refused: int = 0
    """Rows whose values the database does not take: they are in the file `REFUSED`."""
    lost: int = 0
    """Of `rows`, those of calls whose end nobody saw."""


class Mover(Protocol):
    """Moves records, in this process or in another. Raises `StoreUnavailable` and `OSError`; then it may be asked again."""

    async def move(self, number: int, start: int, end: int) -> Moved:
        """Move the calls that ended between two places of a segment."""
        ...

    async def recover(self, numbers: Sequence[int]) -> Moved:
        """Move what earlier processes left in these segments; calls of theirs that never ended become `unknown`."""
        ...

    async def prune(self) -> Moved:
        """Remove from the database what is older than it has to be kept."""
        ...


class Moving:
    """Moves records from the spool in `folder` to `rows`. Raises what `Rows` raises, and `OSError`."""

    def __init__(self, folder: Path, rows: Rows, prices: Mapping[str, Price] = NO_PRICES) -> None:
        self._folder = folder
        self._prices = prices
        self._rows = rows

    def move(self, number: int, start: int, end: int) -> Moved:
        """See `Mover.move`."""
        found = segments.read(self._folder, number, start, end, only_ended=True)
        rows = [each for each in found.records if isinstance(each, Ended)]
        refused = self._add(rows)
        return Moved(len(rows) - refused, found.torn, refused)

    def recover(self, numbers: Sequence[int]) -> Moved:
        """See `Mover.recover`."""
        began: dict[str, Began] = {}
        tokens: dict[str, int] = {}
        ended: set[str] = set()
        moved = torn = refused = 0
        for number in numbers:
            found = segments.read(self._folder, number)
            rows: list[Ended] = []
            for each in found.records:
                if isinstance(each, Ended):
                    rows.append(each)
                    ended.add(each.id)
                elif isinstance(each, Progress):
                    tokens[each.id] = max(each.tokens, tokens.get(each.id, 0))
                else:
                    began[each.id] = each
            refused += self._add(rows)
            moved += len(rows)
            torn += found.torn
        lost = [self._lost(each, tokens.get(id_, 0)) for id_, each in began.items() if id_ not in ended]
        refused += self._add(lost)
        return Moved(moved + len(lost) - refused, torn, refused, len(lost))

    def _lost(self, began: Began, tokens: int) -> Ended:
        return unknown(began, tokens, self._prices.get(began.who.model))

    def _add(self, rows: Sequence[Ended]) -> int:
        """Add `rows`; how many the database refused."""
        return sum(self._added(rows[start : start + BATCH]) for start in range(0, len(rows), BATCH))

    def _added(self, rows: Sequence[Ended]) -> int:
        try:
            self._rows.add(rows)
        except Refused as error:
            if len(rows) == 1:
                self._keep_aside(rows[0], str(error))
                return 1
            half = len(rows) // 2
            return self._added(rows[:half]) + self._added(rows[half:])
        return 0

    def _keep_aside(self, row: Ended, why: str) -> None:
        """Write a row down for a person to look at, durably: its record in the spool will be gone."""
        log.error("the database does not take a record of usage", extra={"id": row.id, "error": why})
        line = msgspec.json.encode({"why": why, "record": row}) + b"\n"
        descriptor = os.open(
            self._folder / REFUSED, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600
        )
        try:
            if os.fstat(descriptor).st_size + len(line) <= _MOST_REFUSED_BYTES:
                os.write(descriptor, line)
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
