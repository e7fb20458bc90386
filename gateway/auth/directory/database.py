"""The database as the store of a directory: for gateways on several machines."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from gateway.auth.directory.contents import EMPTY, Contents, from_bodies, to_bodies
from gateway.auth.directory.records import Kind
from gateway.auth.directory.store import Edit, Store
from gateway.auth.private import KeyFileError
from gateway.core.errors import StoreUnavailable
from gateway.store import Database

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

FETCH_SECONDS = 2.0
"""The longest that a look may take: a revoked key works until the next one that succeeds."""
CHANGE_SECONDS = 20.0


class DatabaseStore:
    """Objects as rows. Whoever changes something holds the row that counts the changes until it is done."""

    def __init__(
        self, database: Database, *, pepper: Callable[[], str], first: Callable[[], Contents] = lambda: EMPTY
    ) -> None:
        """`pepper` is `Mint.check`. `first` is what a directory begins with to which nobody has written yet."""
        self._database = database
        self._pepper = pepper
        self._first = first
        self._seen: int | None = None

    async def fetch(self) -> Contents | None:
        """See `Store.fetch`."""
        try:
            async with asyncio.timeout(FETCH_SECONDS if self._seen is not None else CHANGE_SECONDS):
                return await self._fetch()
        except TimeoutError as error:
            raise StoreUnavailable("The database did not answer in time.") from error

    async def change(self, edit: Edit) -> Contents:
        """See `Store.change`."""
        try:
            async with asyncio.timeout(CHANGE_SECONDS), self._database.write() as connection:
                return await self._changed(connection, edit)
        except TimeoutError as error:
            raise StoreUnavailable("The database did not answer in time.") from error

    async def _fetch(self) -> Contents | None:
        from gateway.auth.directory.tables import STATE  # noqa: PLC0415 - loads SQLAlchemy

        async with self._database.read() as connection:
            revision, pepper = (await connection.execute(STATE.select())).one()[1:]
            if pepper is not None:
                self._check(pepper)
                if revision == self._seen:
                    return None
                found = await self._all(connection)
        if pepper is None:
            return await self.change(lambda contents: contents)
        self._seen = revision
        return found

    async def _changed(self, connection: AsyncConnection, edit: Edit) -> Contents:
        from gateway.auth.directory.tables import OBJECTS, STATE  # noqa: PLC0415 - loads SQLAlchemy

        revision, pepper = (await connection.execute(STATE.select().with_for_update())).one()[1:]
        if pepper is None:
            before, now, pepper = EMPTY, self._first(), self._pepper()
        else:
            self._check(pepper)
            before = now = await self._all(connection)
        after = edit(now)
        had, has = to_bodies(before), to_bodies(after)
        for kind, name in had.keys() - has.keys():
            await connection.execute(OBJECTS.delete().where(OBJECTS.c.kind == kind, OBJECTS.c.id == name))
        for (kind, name), body in has.items():
            if (kind, name) not in had:
                await connection.execute(
                    OBJECTS.insert().values(kind=kind, id=name, made=revision, body=body)
                )
            elif had[kind, name] != body:
                here = (OBJECTS.c.kind == kind, OBJECTS.c.id == name)
                await connection.execute(OBJECTS.update().where(*here).values(body=body))
        await connection.execute(STATE.update().values(revision=revision + 1, pepper=pepper))
        return after

    async def _all(self, connection: AsyncConnection) -> Contents:
        from gateway.auth.directory.tables import OBJECTS  # noqa: PLC0415 - loads SQLAlchemy

        rows = (await connection.execute(OBJECTS.select().order_by(OBJECTS.c.made, OBJECTS.c.id))).all()
        try:
            return from_bodies((Kind(row.kind), row.body) for row in rows)
        except ValueError as error:
            raise KeyFileError(f"the directory in {self._database.place} cannot be read: {error}") from error

    def _check(self, pepper: str) -> None:
        if pepper != self._pepper():
            raise KeyFileError(
                f"the keys in {self._database.place} were hashed under another pepper: copy the file 'pepper' "
                "from the data folder of the gateway that came first"
            )


_: type[Store] = DatabaseStore
