"""SQLAlchemy's engine for a place, set up so that a commit is on disk when it returns.

Importing this loads SQLAlchemy, a third of a second: `Database` does it in a thread.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, event, inspect, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from gateway.store import file as file_of
from gateway.store.file import PRAGMAS, created
from gateway.store.place import Place
from gateway.store.server import CONNECT_SECONDS, connect_arguments

CONNECTIONS = 5
_VERSION_TABLE = "alembic_version"
WRITES = "cascadia_writes"
"""The execution option of a connection whose transaction will write."""


def engine_of(place: Place) -> AsyncEngine:
    """An engine for `place`. For SQLite it makes the file and its folder, so call it in a thread.

    Raises `OSError`, and `sqlite3.Error` where the file is no database.
    """
    return _sqlite(place.file) if place.file is not None else _postgres(place)


def revision_of(connection: Connection) -> str | None:
    """The revision of the schema; `None` in an empty database."""
    if not inspect(connection).has_table(_VERSION_TABLE):
        return None
    found: str | None = connection.execute(text(f"SELECT version_num FROM {_VERSION_TABLE}")).scalar()  # noqa: S608 - a constant
    return found


def _sqlite(file: Path) -> AsyncEngine:
    created(file)
    engine = create_async_engine(
        URL.create("sqlite+aiosqlite", database=str(file)),
        connect_args={"timeout": file_of.BUSY_SECONDS},
        pool_size=CONNECTIONS,
        max_overflow=0,
        pool_timeout=CONNECT_SECONDS,
    )
    event.listen(engine.sync_engine, "connect", _set_up)
    event.listen(engine.sync_engine, "begin", _begin)
    return engine


def _set_up(connection: Any, _: object) -> None:
    """Make a commit durable, and leave BEGIN to us."""
    connection.isolation_level = None  # the driver would begin late, and never before a CREATE TABLE
    cursor = connection.cursor()
    for pragma in PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Connection) -> None:
    """A writer takes the lock first: one that began as a reader could not wait for it."""
    writes = connection.get_execution_options().get(WRITES)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _postgres(place: Place) -> AsyncEngine:
    return create_async_engine(
        "postgresql+asyncpg://",
        connect_args=connect_arguments(place),
        pool_size=CONNECTIONS,
        max_overflow=0,
        pool_timeout=CONNECT_SECONDS,
        pool_pre_ping=True,
    )
