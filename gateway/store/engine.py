"""SQLAlchemy's engine for a place, set up so that a commit is on disk when it returns.

Importing this loads SQLAlchemy, a third of a second: `Database` does it in a thread.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from gateway.store.place import Place

BUSY_SECONDS = 5.0
"""How long one writer of SQLite waits for another."""
CONNECT_SECONDS = 10.0
COMMAND_SECONDS = 60.0
"""The longest that one statement may take in Postgres."""
CONNECTIONS = 5
WRITES = "cascadia_writes"
"""The execution option of a connection whose transaction will write."""


def engine_of(place: Place) -> AsyncEngine:
    """An engine for `place`. For SQLite it makes the file and its folder, so call it in a thread.

    Raises `OSError`, and `sqlite3.Error` where the file is no database.
    """
    return _sqlite(place.file) if place.file is not None else _postgres(place)


def _sqlite(file: Path) -> AsyncEngine:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(file, os.O_CREAT | os.O_RDWR, 0o600))
    _keep_a_log(file)
    engine = create_async_engine(
        URL.create("sqlite+aiosqlite", database=str(file)),
        connect_args={"timeout": BUSY_SECONDS},
        pool_size=CONNECTIONS,
        max_overflow=0,
        pool_timeout=CONNECT_SECONDS,
    )
    event.listen(engine.sync_engine, "connect", _set_up)
    event.listen(engine.sync_engine, "begin", _begin)
    return engine


def _keep_a_log(file: Path) -> None:
    """Switch to write-ahead logging, once in a file's life: readers then read beside the writer.

    The switch alone does not wait for other processes that open the file, whatever the timeout: so this does.
    """
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        with contextlib.closing(sqlite3.connect(file, timeout=BUSY_SECONDS)) as connection:
            try:
                connection.execute("PRAGMA journal_mode=WAL")
            except sqlite3.OperationalError:
                if time.monotonic() > deadline:
                    raise
            else:
                return
        time.sleep(0.01)


def _set_up(connection: Any, _: object) -> None:
    """Make a commit durable, and leave BEGIN to us."""
    connection.isolation_level = None  # the driver would begin late, and never before a CREATE TABLE
    cursor = connection.cursor()
    for pragma in ("synchronous=FULL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Connection) -> None:
    """A writer takes the lock first: one that began as a reader could not wait for it."""
    writes = connection.get_execution_options().get(WRITES)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _postgres(place: Place) -> AsyncEngine:
    arguments: dict[str, Any] = {"timeout": CONNECT_SECONDS, "command_timeout": COMMAND_SECONDS}
    if place.tls is not None:
        arguments["ssl"] = place.tls
    if place.host is not None and place.host.startswith("/"):
        arguments["host"] = place.host
        host = None
    else:
        host = place.host
    return create_async_engine(
        URL.create(
            "postgresql+asyncpg",
            username=place.user,
            password=place.password,
            host=host,
            port=place.port,
            database=place.name,
        ),
        connect_args=arguments,
        pool_size=CONNECTIONS,
        max_overflow=0,
        pool_timeout=CONNECT_SECONDS,
        pool_pre_ping=True,
    )
