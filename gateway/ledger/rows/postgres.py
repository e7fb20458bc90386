"""The rows in Postgres. A batch is one transaction of three statements, each with all of its rows as one parameter."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import asyncpg
import msgspec

from gateway.ledger import sql
from gateway.ledger.records import Ended
from gateway.ledger.rows.base import Away, Kept, Refused, Rows
from gateway.ledger.rows.shape import row_of, sums_of
from gateway.ledger.rows.version import check
from gateway.store.place import Place
from gateway.store.server import connect_arguments

_VALUES = ("22", "23")
"""Classes of SQLSTATE (ISO 9075): the server is there and does not take these values."""
_UNKNOWN_TABLE = "42P01"


class PostgresRows:
    """The rows at `place`. Its calls wait for the server, each at most for what `store.server` says."""

    def __init__(self, place: Place, kept: Kept) -> None:
        self._place = place
        self._kept = kept
        self._runner = asyncio.Runner()
        self._connection: asyncpg.Connection | None = None

    def add(self, rows: Sequence[Ended]) -> None:
        """See `Rows.add`."""
        if rows:
            self._runner.run(self._add(rows))

    def prune(self, now: float) -> None:
        """See `Rows.prune`."""
        self._runner.run(self._prune(int(now)))

    def close(self) -> None:
        """See `Rows.close`."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()
        self._runner.close()
        self._runner = asyncio.Runner()

    async def _add(self, rows: Sequence[Ended]) -> None:
        async with self._writing() as connection:
            inserted = await connection.fetch(sql.INSERT_POSTGRES, _json([row_of(row) for row in rows]))
            new = {id_ for (id_,) in inserted}
            first = {row.id: row for row in reversed(rows) if row.id in new}
            for table, sums in sums_of(list(first.values())).items():
                if sums:
                    await connection.execute(sql.ADD_POSTGRES[table], _json(sums))

    async def _prune(self, now: int) -> None:
        removed = sql.PRUNED_AT_ONCE
        while removed >= sql.PRUNED_AT_ONCE:
            async with self._writing() as connection:
                removed = int((await connection.execute(sql.prune("$1"), now - self._kept.single)).split()[1])
        async with self._writing() as connection:
            await connection.execute(sql.prune_daily("$1"), now - self._kept.daily)

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[asyncpg.Connection]:
        """A transaction, committed at the end of the block. A connection on which anything failed is not used again."""
        is_good = False
        try:
            connection = await self._opened()
            async with connection.transaction():
                yield connection
            is_good = True
        except asyncpg.PostgresError as error:
            if str(error.sqlstate or "").startswith(_VALUES):
                is_good = True
                raise Refused(str(error)) from error
            raise Away(_line(error)) from error
        except (OSError, TimeoutError, asyncpg.InterfaceError) as error:
            raise Away(_line(error)) from error
        finally:
            if not is_good and self._connection is not None:
                self._connection.terminate()
                self._connection = None

    async def _opened(self) -> asyncpg.Connection:
        if self._connection is None or self._connection.is_closed():
            self._connection = await asyncpg.connect(**connect_arguments(self._place))
        check(await self._revision(self._connection))
        return self._connection

    @staticmethod
    async def _revision(connection: asyncpg.Connection) -> str | None:
        try:
            found = await connection.fetchval("SELECT version_num FROM alembic_version")
        except asyncpg.PostgresError as error:
            if error.sqlstate == _UNKNOWN_TABLE:
                return None
            raise
        return None if found is None else str(found)


def _json(rows: list[tuple[object, ...]]) -> str:
    return msgspec.json.encode(rows).decode()


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


_: type[Rows] = PostgresRows
