"""Databases to test against: SQLite in a folder of the test's, and one Postgres for all of them."""

import pytest

from gateway.store import Database, sqlite
from tests.support.postgres import postgres


@pytest.fixture(scope="session")
def postgres_server():
    with postgres() as running:
        yield running


@pytest.fixture(params=["sqlite", "postgres"])
async def place(request, tmp_path):
    """Where a database can be made, of both kinds."""
    if request.param == "sqlite":
        return sqlite(tmp_path / "store" / "cascadia.db")
    return await request.getfixturevalue("postgres_server").create("test")


@pytest.fixture
async def database(place):
    opened = Database(place)
    yield opened
    await opened.close()
