"""The file of an SQLite database: made for its owner alone, and opened so that a commit is on disk when it returns."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from pathlib import Path

BUSY_SECONDS = 5.0
"""How long one writer of SQLite waits for another."""
PRAGMAS = ("synchronous=FULL", "foreign_keys=ON")
"""Of each connection."""


def created(file: Path) -> None:
    """Make the file and its folder, where they are not there. Raises `OSError`, and `sqlite3.Error` for no database."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(file, os.O_CREAT | os.O_RDWR, 0o600))
    _keep_a_log(file)


def connected(file: Path) -> sqlite3.Connection:
    """A connection of its owner's thread, which leaves BEGIN to its owner. Raises `sqlite3.Error`."""
    connection = sqlite3.connect(file, timeout=BUSY_SECONDS, isolation_level=None)
    for pragma in PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")
    return connection


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
