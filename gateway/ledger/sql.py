"""The ledger's statements, in the words of SQLite and of Postgres.

A batch of rows is one parameter, a JSON array of arrays that the database takes apart: what the event loop does for five
hundred rows is then what it does for one. All names are constants of this module; values are parameters.
"""

from __future__ import annotations

from dataclasses import dataclass

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
)
"""Of the table `usage`, with their types."""

KEYS = ("start", "organisation", "team", "user", "key_id", "model")
"""What the sums of a day or month are kept by."""
SUMS = ("requests", "failed", "prompt_tokens", "cached_tokens", "completion_tokens", "estimated")
_ROLLUP = tuple((name, "bigint" if name == "start" else "varchar") for name in KEYS) + tuple(
    (name, "bigint") for name in SUMS
)


@dataclass(frozen=True, slots=True)
class Dialect:
    """One database's words for taking a JSON array of arrays apart."""

    elements: str
    member: str

    def rows(self, columns: tuple[tuple[str, str], ...]) -> str:
        """A SELECT of the rows in the parameter `batch`."""
        members = ", ".join(
            self.member.format(index=index, type=type_) for index, (_, type_) in enumerate(columns)
        )
        return f"SELECT {members} FROM {self.elements}"  # noqa: S608 - constants


SQLITE = Dialect("json_each(:batch) AS e", "json_extract(e.value, '$[{index}]')")
POSTGRES = Dialect(
    "jsonb_array_elements(CAST(:batch AS jsonb)) AS e(value)", "CAST(e.value ->> {index} AS {type})"
)


def _names(columns: tuple[tuple[str, str], ...]) -> str:
    return ", ".join(f'"{name}"' for name, _ in columns)


def insert(dialect: Dialect) -> str:
    """Insert a batch into `usage`; gives the ids of those that were not there."""
    # WHERE true: without it SQLite takes ON for the beginning of a join.
    return (
        f'INSERT INTO "usage" ({_names(COLUMNS)}) {dialect.rows(COLUMNS)} WHERE true '
        "ON CONFLICT (id) DO NOTHING RETURNING id"
    )


def add(dialect: Dialect, table: str) -> str:
    """Add a batch of sums to a table of them."""
    keys = ", ".join(f'"{name}"' for name in KEYS)
    sums = ", ".join(f'"{name}" = {table}."{name}" + excluded."{name}"' for name in SUMS)
    return (
        f"INSERT INTO {table} ({_names(_ROLLUP)}) {dialect.rows(_ROLLUP)} WHERE true "
        f"ON CONFLICT ({keys}) DO UPDATE SET {sums}"
    )
