"""The database, opened when it is first asked: importing SQLAlchemy and migrating take longer than a start may.

Nothing here is on a request's path. Every wait has a deadline of the driver's: for a lock, a connection, a statement.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterator
from importlib import import_module
from typing import TYPE_CHECKING

from gateway.core.errors import StoreUnavailable
from gateway.store.place import Place
from gateway.store.revisions import is_newest

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

log = logging.getLogger(__name__)

RETRY_AFTER = 5
"""Seconds to name in `retry-after` when the database cannot be had."""


class Database:
    """One database at a `place`. Whoever makes it closes it; transactions end with their blocks.

    Every failure of the database itself - away, locked, full, of a newer program - is raised as `StoreUnavailable`, with the
    cause in the log. What a statement did wrong, a constraint say, is raised as SQLAlchemy has it.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        self.trouble: str | None = None
        """Why the database could not be had when it was last asked; `None` once it answers."""
        self._engine: AsyncEngine | None = None
        self._opening = asyncio.Lock()
        self._writing = asyncio.Lock()

    def __repr__(self) -> str:
        state = "open" if self._engine is not None else "not open"
        return f"<Database {self.place} {state}{f', {self.trouble}' if self.trouble else ''}>"

    @contextlib.asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that may write: committed at the end of the block, undone when it raises.

        Raises `StoreUnavailable`; after one of the commit itself it is not known whether the commit happened.
        """
        engine = await self._opened()
        from gateway.store.engine import WRITES  # noqa: PLC0415 - loads SQLAlchemy, which is there now

        # SQLite has one writer: ours queue here, and its busy wait is for other processes.
        async with self._writing if self.place.is_sqlite else contextlib.nullcontext():
            with self._told():
                async with engine.execution_options(**{WRITES: True}).begin() as connection:
                    yield connection

    @contextlib.asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that sees one state of the database. Raises `StoreUnavailable`."""
        engine = await self._opened()
        with self._told():
            async with engine.begin() as connection:
                yield connection

    async def close(self) -> None:
        """End all connections. It may be opened again."""
        engine, self._engine = self._engine, None
        if engine is not None:
            await engine.dispose()

    async def _opened(self) -> AsyncEngine:
        async with self._opening:
            if self._engine is None:
                await asyncio.to_thread(import_module, "gateway.store.trouble")
                self._engine = await self._open()
            return self._engine

    async def _open(self) -> AsyncEngine:
        from gateway.store.engine import engine_of, revision_of  # noqa: PLC0415 - loads SQLAlchemy

        with self._told():
            engine = await asyncio.to_thread(engine_of, self.place)
            try:
                async with engine.connect() as connection:
                    revision = await connection.run_sync(revision_of)
                if not is_newest(revision):
                    from gateway.store.migrate import migrate  # noqa: PLC0415 - loads Alembic, seldom needed

                    await migrate(engine)
            except BaseException:
                await engine.dispose()
                raise
        return engine

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Raise what means "no database" as `StoreUnavailable`, and remember why."""
        from gateway.store.trouble import trouble_of  # noqa: PLC0415 - loads SQLAlchemy

        try:
            yield
        except Exception as error:
            trouble = trouble_of(error)
            if trouble is None:
                raise
            if trouble != self.trouble:
                log.warning("database unavailable", extra={"database": str(self.place), "error": trouble})
            self.trouble = trouble
            raise StoreUnavailable(
                "The database cannot be reached. Try again later.", retry_after=RETRY_AFTER
            ) from error
        if self.trouble is not None:
            log.info("database available", extra={"database": str(self.place)})
            self.trouble = None
