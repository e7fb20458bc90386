"""The ledger's statements, in the words of SQLite and of Postgres.

SQLite's driver runs a statement for many rows itself. To Postgres a batch is one parameter, a JSON array of arrays that the
server takes apart. All names are constants of this module; values are parameters.
"""

from __future__ import annotations

COLUMNS = (
    ("id", "varchar"),
    ("request_id", "varchar"),
    ("ended", "bigint"),
    ("organisation", "varchar"),
    ("team", "varchar"),
    ("user", "varchar"),
    ("key_id", "varchar"),
    ("model", "varchar"),
    ("operation", "varchar"),
    ("tier", "smallint"),
    ("stream", "boolean"),
    ("outcome", "varchar"),
    ("status", "smallint"),
    ("code", "varchar"),
    ("replica", "varchar"),
    ("attempts", "smallint"),
    ("prompt_tokens", "bigint"),
    ("cached_tokens", "bigint"),
    ("completion_tokens", "bigint"),
    ("estimated", "boolean"),
    ("queue_ms", "bigint"),
    ("first_content_ms", "bigint"),
    ("total_ms", "bigint"),
    ("asked", "varchar"),
    ("cost", "bigint"),
)
"""Of the table `usage`, with their types."""

KEYS = ("start", "organisation", "team", "user", "key_id", "model")
"""What the sums of a day or month are kept by."""
SUMS = ("requests", "failed", "prompt_tokens", "cached_tokens", "completion_tokens", "estimated", "cost")
_ROLLUP = tuple((name, "bigint" if name == "start" else "varchar") for name in KEYS) + tuple(
    (name, "bigint") for name in SUMS
)


PRUNED_AT_ONCE = 5_000
"""Rows that one transaction removes: writers wait no longer than for that."""

_Columns = tuple[tuple[str, str], ...]


def _names(columns: _Columns) -> str:
    return ", ".join(f'"{name}"' for name, _ in columns)


def _marks(columns: _Columns) -> str:
    """One row, as SQLite's driver fills it."""
    return f"VALUES ({', '.join('?' for _ in columns)})"


def _batch(columns: _Columns) -> str:
    """The rows in the parameter, for Postgres."""
    members = ", ".join(f"CAST(e.value ->> {index} AS {type_})" for index, (_, type_) in enumerate(columns))
    return f"SELECT {members} FROM jsonb_array_elements(CAST($1 AS jsonb)) AS e(value)"  # noqa: S608 - constants


def _insert(rows: str) -> str:
    return f'INSERT INTO "usage" ({_names(COLUMNS)}) {rows} ON CONFLICT (id) DO NOTHING'


def _add(table: str, rows: str) -> str:
    keys = ", ".join(f'"{name}"' for name in KEYS)
    sums = ", ".join(f'"{name}" = {table}."{name}" + excluded."{name}"' for name in SUMS)
    return f"INSERT INTO {table} ({_names(_ROLLUP)}) {rows} ON CONFLICT ({keys}) DO UPDATE SET {sums}"


_TABLES = ("usage_daily", "usage_monthly")

INSERT_SQLITE = _insert(_marks(COLUMNS))
"""Inserts one row, unless it is there."""
INSERT_POSTGRES = f"{_insert(_batch(COLUMNS))} RETURNING id"
"""Inserts a batch; gives the ids of those that were not there."""
ADD_SQLITE = {table: _add(table, _marks(_ROLLUP)) for table in _TABLES}
"""Table → adds one sum to it."""
ADD_POSTGRES = {table: _add(table, _batch(_ROLLUP)) for table in _TABLES}
"""Table → adds a batch of sums to it."""


def prune(mark: str) -> str:
    """Removes some rows from before the moment that `mark`, a driver's sign for its first parameter, stands for."""
    return (
        'DELETE FROM "usage" WHERE id IN '  # noqa: S608 - constants
        f'(SELECT id FROM "usage" WHERE ended < {mark} LIMIT {PRUNED_AT_ONCE})'
    )


def prune_daily(mark: str) -> str:
    """Removes the sums of days from before that moment."""
    return f'DELETE FROM usage_daily WHERE "start" < {mark}'  # noqa: S608 - constants
