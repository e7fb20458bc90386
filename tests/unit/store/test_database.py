"""One database of either kind: durable, migrated once, refused when it is newer, and a clear error when it is away."""

import asyncio
import sqlite3
import stat
import subprocess
import sys

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from gateway.core.errors import StoreUnavailable
from gateway.store import Database, Place, sqlite
from gateway.store.migrate import head
from gateway.store.schema import METADATA

INSERT = text("INSERT INTO usage_daily VALUES (:start, 'o', 't', 'u', 'k', 'm', 1, 0, 2, 0, 3, 0, 7)")
COUNT = text("SELECT count(*) FROM usage_daily")


async def count(database):
    async with database.read() as connection:
        return (await connection.execute(COUNT)).scalar()


async def test_what_was_committed_is_there_after_a_new_start(database):
    async with database.write() as connection:
        await connection.execute(INSERT, {"start": 1})
    await database.close()
    assert await count(database) == 1


async def test_a_block_that_raises_leaves_nothing(database):
    async def fail():
        async with database.write() as connection:
            await connection.execute(INSERT, {"start": 1})
            raise RuntimeError("own")

    with pytest.raises(RuntimeError, match="own"):
        await fail()
    assert await count(database) == 0


async def test_a_wrong_statement_is_no_trouble_of_the_database(database):
    async with database.write() as connection:
        await connection.execute(INSERT, {"start": 1})
    with pytest.raises(IntegrityError):
        async with database.write() as connection:
            await connection.execute(INSERT, {"start": 1})
    assert database.trouble is None


async def test_writers_go_one_after_the_other(database):
    async def add(start):
        async with database.write() as connection:
            await connection.execute(INSERT, {"start": start})

    await asyncio.gather(*(add(start) for start in range(20)))
    assert await count(database) == 20


async def test_programs_that_start_together_migrate_once(place):
    databases = [Database(place) for _ in range(4)]
    assert await asyncio.gather(*map(count, databases)) == [0] * 4
    for each in databases:
        await each.close()


async def test_the_schema_of_a_newer_program_is_refused_by_name(database):
    await count(database)
    async with database.write() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    older = Database(database.place)
    with pytest.raises(StoreUnavailable):
        await count(older)
    assert "9999" in older.trouble
    assert head() in older.trouble


async def test_the_tables_are_what_the_program_declares(database):
    def differences(connection):
        return compare_metadata(MigrationContext.configure(connection), METADATA)

    async with database.read() as connection:
        found = await connection.run_sync(differences)
    assert [each for each in found if "remove_" not in str(each[0])] == []


async def test_a_locked_file_is_unavailable_and_comes_back(tmp_path, monkeypatch):
    monkeypatch.setattr("gateway.store.file.BUSY_SECONDS", 0.05)
    database = Database(sqlite(tmp_path / "c.db"))
    await count(database)
    holder = sqlite3.connect(tmp_path / "c.db", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreUnavailable):
        async with database.write():
            pass
    assert database.trouble is not None
    assert "locked" in database.trouble
    holder.rollback()
    holder.close()
    async with database.write() as connection:
        await connection.execute(INSERT, {"start": 1})
    assert database.trouble is None
    await database.close()


async def test_a_server_that_is_not_there_is_unavailable(tmp_path):
    database = Database(Place(host=str(tmp_path), name="x", user="u"))
    with pytest.raises(StoreUnavailable) as raised:
        await count(database)
    assert str(tmp_path) not in raised.value.message


async def test_a_file_that_is_no_database_is_unavailable(tmp_path):
    (tmp_path / "c.db").write_text("not a database, and long enough to be looked at as one" * 20)
    database = Database(sqlite(tmp_path / "c.db"))
    with pytest.raises(StoreUnavailable):
        await count(database)
    assert "not a database" in database.trouble


async def test_the_file_is_its_owners_alone_and_durable(tmp_path):
    database = Database(sqlite(tmp_path / "new" / "c.db"))
    async with database.read() as connection:
        assert (await connection.execute(text("PRAGMA journal_mode"))).scalar() == "wal"
        assert (await connection.execute(text("PRAGMA synchronous"))).scalar() == 2
    assert stat.S_IMODE((tmp_path / "new" / "c.db").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
    await database.close()


KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from alembic.operations import Operations
from gateway.store import Database, sqlite

steps = 0

def dying(self, operation, _invoke=Operations.invoke):
    global steps
    if steps == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    steps += 1
    return _invoke(self, operation)

Operations.invoke = dying

async def main():
    async with Database(sqlite(Path(sys.argv[1]))).read():
        pass

asyncio.run(main())
"""


@pytest.mark.parametrize("step", [0, 1, 2, 4])
def test_a_migration_that_is_killed_leaves_a_database_that_starts(tmp_path, step):
    file = tmp_path / "c.db"
    killed = subprocess.run([sys.executable, "-c", KILLED, str(file), str(step)], check=False, timeout=30)
    assert killed.returncode == -9
    with sqlite3.connect(file) as left:
        assert left.execute("SELECT name FROM sqlite_master").fetchall() == []
    left.close()
    asyncio.run(starts(file))


async def starts(file):
    database = Database(sqlite(file))
    assert await count(database) == 0
    await database.close()


def test_loading_it_loads_no_sqlalchemy():
    code = "import sys, gateway.app, gateway.store; sys.exit('sqlalchemy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
