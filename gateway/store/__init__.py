"""The database: one for everything that has to outlive the process, SQLite in the data folder or Postgres.

Tables belong to the packages that use them; this one opens, migrates and hands out transactions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.store.place import Place, PlaceError, postgres, sqlite

if TYPE_CHECKING:
    from gateway.store.database import Database

__all__ = ["Database", "Place", "PlaceError", "postgres", "sqlite"]


def __getattr__(name: str) -> object:
    """`Database` when it is first named: who needs a place alone, in a small process, needs no event loop."""
    if name == "Database":
        from gateway.store.database import Database  # noqa: PLC0415 - see above

        return Database
    raise AttributeError(name)
