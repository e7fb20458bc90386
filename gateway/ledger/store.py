"""The ledger in the database: one row for each call, and sums by day and month, all of one transaction.

Rows are kept for `retention_days` and sums of days for `daily_retention_days`; sums of months stay.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime

import msgspec

from gateway.core.outcome import Outcome
from gateway.ledger import sql
from gateway.ledger.records import Ended
from gateway.store import Database

DAY = 86_400
PRUNED_AT_ONCE = 5_000
"""Rows that one transaction removes: writers wait no longer than for that."""
_WELL = frozenset({Outcome.OK.value, Outcome.CLIENT_ERROR.value, Outcome.CLIENT_GONE.value})
"""Outcomes that are no failure of ours or of an engine."""

_encode = msgspec.json.Encoder().encode


class UsageStore:
    """The usage in `database`. `now` gives Unix seconds."""

    def __init__(
        self, database: Database, *, retention_days: int, daily_retention_days: int, now: Callable[[], float]
    ) -> None:
        self.database = database
        self._retention = retention_days * DAY
        self._daily_retention = daily_retention_days * DAY
        self._now = now
        dialect = sql.SQLITE if database.place.is_sqlite else sql.POSTGRES
        self._insert = sql.insert(dialect)
        self._adds = {table: sql.add(dialect, table) for table in ("usage_daily", "usage_monthly")}

    async def add(self, rows: Sequence[Ended]) -> None:
        """Keep `rows`, each once by its id, and count those that were not there yet. Raises `StoreUnavailable`."""
        if not rows:
            return
        batch = await asyncio.to_thread(_batch, rows)
        async with self.database.write() as connection:
            from sqlalchemy import text  # noqa: PLC0415 - loaded since the database is open

            inserted = await connection.execute(text(self._insert), {"batch": batch})
            new = {id_ for (id_,) in inserted}
            sums = await asyncio.to_thread(_sums, [row for row in rows if row.id in new])
            for table, statement in self._adds.items():
                if sums[table] != "[]":
                    await connection.execute(text(statement), {"batch": sums[table]})

    async def prune(self) -> None:
        """Remove what is older than it has to be kept. Raises `StoreUnavailable`."""
        now = int(self._now())
        await self._prune("usage", "ended", "id", now - self._retention)
        async with self.database.write() as connection:
            from sqlalchemy import text  # noqa: PLC0415 - loaded since the database is open

            await connection.execute(
                text('DELETE FROM usage_daily WHERE "start" < :before'),
                {"before": now - self._daily_retention},
            )

    async def _prune(self, table: str, column: str, key: str, before: int) -> None:
        statement = (
            f'DELETE FROM "{table}" WHERE {key} IN '  # noqa: S608 - constants
            f'(SELECT {key} FROM "{table}" WHERE {column} < :before LIMIT {PRUNED_AT_ONCE})'
        )
        removed = PRUNED_AT_ONCE
        while removed >= PRUNED_AT_ONCE:
            async with self.database.write() as connection:
                from sqlalchemy import text  # noqa: PLC0415 - loaded since the database is open

                removed = (await connection.execute(text(statement), {"before": before})).rowcount


def day_of(at: float) -> int:
    """The first second of the day, in UTC, in which `at` lies."""
    return int(at) // DAY * DAY


def month_of(at: float) -> int:
    """The first second of the month, in UTC, in which `at` lies."""
    moment = datetime.fromtimestamp(at, UTC)
    return int(moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0).timestamp())


def _batch(rows: Iterable[Ended]) -> str:
    return _encode([_row(row) for row in rows]).decode()


def _row(row: Ended) -> tuple[object, ...]:
    """In the order of `sql.COLUMNS`."""
    who = row.who
    return (
        row.id,
        who.request_id,
        int(row.at),
        who.organisation,
        who.team,
        who.user,
        who.key_id,
        who.model,
        who.operation,
        who.tier,
        who.stream,
        row.outcome,
        row.status,
        row.code,
        row.replica,
        row.attempts,
        row.prompt_tokens,
        row.cached_tokens,
        row.completion_tokens,
        row.estimated,
        row.queue_ms,
        row.first_content_ms,
        row.total_ms,
    )


def _sums(rows: Sequence[Ended]) -> dict[str, str]:
    """What to add to each table of sums."""
    starts = {"usage_daily": day_of, "usage_monthly": month_of}
    return {table: _encode(_summed(rows, start)).decode() for table, start in starts.items()}


def _summed(rows: Sequence[Ended], start: Callable[[float], int]) -> list[tuple[object, ...]]:
    found: dict[tuple[object, ...], list[int]] = {}
    for row in rows:
        who = row.who
        key = (start(row.at), who.organisation, who.team, who.user, who.key_id, who.model)
        sums = found.setdefault(key, [0] * len(sql.SUMS))
        values = (
            1,
            row.outcome not in _WELL,
            row.prompt_tokens,
            row.cached_tokens,
            row.completion_tokens,
            row.estimated,
        )
        for index, value in enumerate(values):
            sums[index] += value
    return [(*key, *sums) for key, sums in found.items()]
