"""Tells a database that cannot be had from a statement that was wrong."""

from __future__ import annotations

import sqlite3

from sqlalchemy import exc

from gateway.store.revisions import NewerSchema

_DATA = "22"
"""The class of SQLSTATE (ISO 9075) of values that a statement cannot take: the server is there and said so."""


def trouble_of(error: BaseException) -> str | None:
    """Why the database cannot be had, in one line; `None` when `error` says nothing of the kind.

    Drivers raise their own classes below SQLAlchemy's, and plain `OSError` and `TimeoutError` while they connect.
    """
    if isinstance(error, NewerSchema):
        return str(error)
    if isinstance(error, exc.IntegrityError | exc.ProgrammingError | exc.DataError):
        return None
    if isinstance(error, exc.DBAPIError):
        if str(getattr(error.orig, "sqlstate", None) or "").startswith(_DATA):
            return None
        return " ".join(str(error.orig).split()) or type(error.orig).__name__
    if isinstance(error, exc.TimeoutError | OSError | sqlite3.Error):
        return " ".join(str(error).split()) or type(error).__name__
    return None
