"""Bring a database to this program's schema: in one transaction, under a lock, forwards only.

A migration that is killed leaves the schema as it was. Two programs that start together migrate one after the other. A
database that a newer program has migrated is refused: this one does not know what its rows mean.
"""

from __future__ import annotations

from types import MappingProxyType

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.store.engine import WRITES, revision_of
from gateway.store.revisions import FOLDER, is_newest

_LOCK = 0x6361_7363
"""Names our advisory lock in Postgres, where SQLite has its one writer."""


async def migrate(engine: AsyncEngine) -> None:
    """Bring the database of `engine` to the newest revision. Raises `NewerSchema` and what SQLAlchemy raises."""
    async with engine.execution_options(**{WRITES: True}).begin() as connection:
        await connection.run_sync(_upgrade)


def head() -> str:
    """The newest revision that is shipped."""
    found = ScriptDirectory.from_config(_configuration()).get_current_head()
    if found is None:
        raise LookupError("no revision is shipped")
    return found


def _upgrade(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    if not is_newest(revision_of(connection)):
        configuration = _configuration()
        configuration.attributes["connection"] = connection
        command.upgrade(configuration, "head")


def _configuration() -> Config:
    return Config(config_args=MappingProxyType({"script_location": str(FOLDER), "path_separator": "os"}))
