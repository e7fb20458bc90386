"""The database: one for everything that has to outlive the process, SQLite in the data folder or Postgres.

Tables belong to the packages that use them; this one opens, migrates and hands out transactions.
"""

from gateway.store.database import Database
from gateway.store.place import Place, PlaceError, postgres, sqlite

__all__ = ["Database", "Place", "PlaceError", "postgres", "sqlite"]
