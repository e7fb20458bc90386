"""The rows at a place, with the one driver that it needs."""

from __future__ import annotations

from gateway.ledger.rows.base import Kept, Rows
from gateway.store.place import Place


def rows_at(place: Place, kept: Kept) -> Rows:
    """Not connected before they are first used. For one thread."""
    if place.file is not None:
        from gateway.ledger.rows.sqlite import SqliteRows  # noqa: PLC0415 - only one of the two is needed

        return SqliteRows(place.file, kept)
    from gateway.ledger.rows.postgres import PostgresRows  # noqa: PLC0415 - 8 MB that SQLite does not need

    return PostgresRows(place, kept)
