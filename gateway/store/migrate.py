"""Bring a database to this program's schema: in one transaction, under a lock, forwards only.

A migration that is killed leaves the schema as it was. Two programs that start together migrate one after the other. A
database that a newer program has migrated is refused: this one does not know what its rows mean.
"""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.store.engine import WRITES

_FOLDER = Path(__file__).parent / "migrations"
_LOCK = 0x6361_7363
"""Names our advisory lock in Postgres, where SQLite has its one writer."""
_VERSION_TABLE = "alembic_version"


class NewerSchema(Exception):
    """The database belongs to a newer program. The text says which revision it has and which ones this one knows."""


async def migrate(engine: AsyncEngine) -> None:
    """Bring the database of `engine` to the newest revision. Raises `NewerSchema` and what SQLAlchemy raises."""
    async with engine.execution_options(**{WRITES: True}).begin() as connection:
        await connection.run_sync(_upgrade)


def head() -> str:
    """The newest revision that this program knows."""
    found = ScriptDirectory.from_config(_configuration()).get_current_head()
    if found is None:
        raise LookupError("no revision is shipped")
    return found


def _upgrade(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    current = _revision(connection)
    configuration = _configuration()
    scripts = ScriptDirectory.from_config(configuration)
    known = {script.revision for script in scripts.walk_revisions()}
    if current is not None and current not in known:
        raise NewerSchema(
            f"the database has the schema {current}, this program knows {head()} and older ones: "
            "start the newer program, or restore the backup from before it"
        )
    if current != head():
        configuration.attributes["connection"] = connection
        command.upgrade(configuration, "head")


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table(_VERSION_TABLE):
        return None
    found: str | None = connection.execute(text(f"SELECT version_num FROM {_VERSION_TABLE}")).scalar()  # noqa: S608 - a constant
    return found


def _configuration() -> Config:
    return Config(config_args=MappingProxyType({"script_location": str(_FOLDER), "path_separator": "os"}))
