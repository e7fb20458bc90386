"""The rows in SQLite. A batch is one transaction, and one statement that runs for all of its rows in C."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from gateway.ledger import sql
from gateway.ledger.records import Ended
from gateway.ledger.rows.base import Away, Kept, Refused, Rows
from gateway.ledger.rows.shape import row_of, sums_of
from gateway.ledger.rows.version import check
from gateway.store.file import connected, created

_KNOWN = 'SELECT id FROM "usage" WHERE id IN (SELECT value FROM json_each(?))'


class SqliteRows:
    """The rows in `file`, which is made when it is not there."""

    def __init__(self, file: Path, kept: Kept) -> None:
        self._file = file
        self._kept = kept
        self._connection: sqlite3.Connection | None = None

    def add(self, rows: Sequence[Ended]) -> None:
        """See `Rows.add`."""
        if not rows:
            return
        try:
            with self._writing() as connection:
                before = connection.total_changes
                connection.executemany(sql.INSERT_SQLITE, map(row_of, rows))
                if connection.total_changes - before == len(rows):
                    self._count(connection, rows)
                    return
                connection.rollback()  # some were there: which, only they themselves can tell
            with self._writing() as connection:
                new = self._new(connection, rows)
                connection.executemany(sql.INSERT_SQLITE, map(row_of, new))
                self._count(connection, new)
        except (
            sqlite3.IntegrityError,
            sqlite3.DataError,
            sqlite3.ProgrammingError,
            OverflowError,
            UnicodeEncodeError,
        ) as error:
            raise Refused(str(error)) from error

    def prune(self, now: float) -> None:
        """See `Rows.prune`."""
        removed = sql.PRUNED_AT_ONCE
        while removed >= sql.PRUNED_AT_ONCE:
            with self._writing() as connection:
                removed = connection.execute(sql.prune("?"), (int(now) - self._kept.single,)).rowcount
        with self._writing() as connection:
            connection.execute(sql.prune_daily("?"), (int(now) - self._kept.daily,))

    def close(self) -> None:
        """See `Rows.close`."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    @staticmethod
    def _new(connection: sqlite3.Connection, rows: Sequence[Ended]) -> list[Ended]:
        """Those that are not in the database, each once."""
        first = {row.id: row for row in reversed(rows)}
        for (known,) in connection.execute(_KNOWN, (msgspec.json.encode(list(first)).decode(),)):
            del first[known]
        return list(first.values())

    @staticmethod
    def _count(connection: sqlite3.Connection, rows: Sequence[Ended]) -> None:
        for table, sums in sums_of(rows).items():
            connection.executemany(sql.ADD_SQLITE[table], sums)

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction that has the lock from its beginning, committed at the end of the block."""
        try:
            connection = self._opened()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                if connection.in_transaction:
                    connection.commit()
            except BaseException:
                with suppress(sqlite3.Error):  # the first error says it
                    connection.rollback()
                raise
        except (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.ProgrammingError):
            raise
        except (sqlite3.Error, OSError) as error:
            self.close()
            raise Away(str(error)) from error

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            created(self._file)
            self._connection = connected(self._file)
        check(_revision(self._connection))
        return self._connection


def _revision(connection: sqlite3.Connection) -> str | None:
    try:
        found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            return None
        raise
    return None if found is None else str(found[0])


_: type[Rows] = SqliteRows
