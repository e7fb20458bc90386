"""The process that writes to the database may die at any moment, ends with the gateway, and says what is wrong."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.core.errors import StoreUnavailable
from gateway.ledger.clerk.clerk import Clerk
from gateway.ledger.clerk.words import Task
from gateway.ledger.records import encode
from gateway.ledger.rows import Kept
from gateway.store import sqlite
from gateway.store.migrate import head
from gateway.store.revisions import known
from tests.support.product import until
from tests.support.usage import began, ended


@pytest.fixture
async def clerk(tmp_path, make_spool):
    make_spool()
    clerk = Clerk(Task(str(tmp_path / "ledger"), sqlite(tmp_path / "c.db"), Kept(864_000, 2_592_000)))
    yield clerk
    await clerk.close()


def written(spool, committed, *records):
    """Segment and size, once they are on disk."""
    for record in records:
        spool.append(encode(record))
    committed(spool)
    return spool.current, 0, spool.sizes[spool.current]


def ids(tmp_path):
    connection = sqlite3.connect(tmp_path / "c.db")
    try:
        return sorted(id_ for (id_,) in connection.execute("SELECT id FROM usage"))
    finally:
        connection.close()


async def test_it_migrates_a_new_database_and_moves_what_ended(make_spool, committed, tmp_path):
    spool = make_spool()
    place = written(spool, committed, began("a"), ended("a"), began("b"))
    clerk = Clerk(Task(str(spool.folder), sqlite(tmp_path / "c.db"), Kept(864_000, 2_592_000)))
    try:
        assert (await clerk.move(*place)).rows == 1
        assert ids(tmp_path) == ["a"]
        assert (await clerk.prune()).rows == 0
        assert clerk.starts == 1
    finally:
        await clerk.close()


async def test_another_is_started_when_it_was_killed(clerk, tmp_path):
    await clerk.prune()
    os.kill(clerk._process.pid, signal.SIGKILL)
    with pytest.raises(StoreUnavailable):
        await clerk.prune()
    assert "ended with -9" in clerk.trouble
    await clerk.prune()
    assert (clerk.starts, clerk.trouble) == (2, None)


async def test_an_answer_that_nobody_waited_for_is_not_taken_for_the_next_one(
    make_spool, committed, tmp_path
):
    spool = make_spool()
    place = written(spool, committed, *(ended(str(number)) for number in range(3000)))
    clerk = Clerk(Task(str(spool.folder), sqlite(tmp_path / "c.db"), Kept(864_000, 2_592_000)))
    try:
        await clerk.prune()
        given_up = asyncio.create_task(clerk.move(*place))
        await asyncio.sleep(0)
        given_up.cancel()
        await asyncio.gather(given_up, return_exceptions=True)
        assert (await clerk.prune()).rows == 0
        assert clerk.starts == 1
    finally:
        await clerk.close()


async def test_a_database_of_a_newer_program_is_told_of_by_name(clerk, tmp_path):
    await clerk.prune()
    with sqlite3.connect(tmp_path / "c.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(StoreUnavailable):
        await clerk.prune()
    assert "9999" in clerk.trouble
    assert clerk.starts == 1


async def test_a_file_that_is_no_database_is_told_of(tmp_path, make_spool):
    make_spool()
    (tmp_path / "c.db").write_text("not a database, and long enough to be looked at as one" * 20)
    clerk = Clerk(Task(str(tmp_path / "ledger"), sqlite(tmp_path / "c.db"), Kept(1, 1)))
    try:
        with pytest.raises(StoreUnavailable):
            await clerk.prune()
        assert "not a database" in clerk.trouble
    finally:
        await clerk.close()


async def test_it_does_not_end_by_the_signals_that_stop_a_gateway(clerk):
    await clerk.prune()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(clerk._process.pid, number)
    await clerk.prune()
    assert clerk.starts == 1


GATEWAY = """
import asyncio, os, signal, sys
from pathlib import Path
from gateway.ledger.clerk.clerk import Clerk
from gateway.ledger.clerk.words import Task
from gateway.ledger.rows import Kept
from gateway.store import sqlite

async def main():
    folder = Path(sys.argv[1])
    clerk = Clerk(Task(str(folder), sqlite(folder / "c.db"), Kept(1, 1)))
    await clerk.prune()
    print(clerk._process.pid, 'sqlalchemy' in sys.modules, 'sqlite3' in sys.modules, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


def test_it_ends_with_a_gateway_that_is_killed_and_loads_nothing_into_it(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", GATEWAY, str(tmp_path)],
        check=False,
        timeout=30,
        capture_output=True,
        text=True,
    )
    assert done.returncode == -9
    pid, *loaded = done.stdout.split()
    assert loaded == ["False", "False"]
    until(lambda: not is_running(int(pid)), seconds=10, what=lambda: pid, every=0.01)


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_what_is_known_without_alembic_is_what_alembic_knows():
    assert known()[-1] == head()
