"""A Postgres server of a test's own, on a unix socket: started, stopped, killed and started again.

The programs are those that the package `pgserver` ships. Importing it would take locks and add a user to the system; only
its files are used.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import asyncpg

from gateway.store import Place
from tests.support.product import until

STOP_SECONDS = 20.0
USER = "postgres"


class Postgres:
    """One server. `place()` is one of its databases."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._data = folder / "data"
        self._process: subprocess.Popen[bytes] | None = None
        if os.geteuid() == 0:  # it refuses to run as root
            shutil.chown(folder, _UNPRIVILEGED)
        self._run("initdb", "-U", USER, "--auth=trust", "--encoding=utf8", "--no-sync", "-D", str(self._data))

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        command = [
            *(str(_programs() / "postgres"), "-D", str(self._data), "-k", str(self.folder), "-h", ""),
            *("-c", "fsync=off", "-c", "max_connections=50"),
        ]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, user=_user(), cwd=self.folder, start_new_session=True
            )
        until(self._is_ready, seconds=STOP_SECONDS, what=(self.folder / "log").read_text)

    def stop(self) -> None:
        """End it at once, and all its connections; what was committed stays."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGINT)
            process.wait(STOP_SECONDS)

    async def create(self, name: str) -> Place:
        """A new, empty database. One of that name is dropped."""
        connection = await asyncpg.connect(host=str(self.folder), user=USER, database="postgres")
        try:
            await connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
            await connection.execute(f'CREATE DATABASE "{name}"')
        finally:
            await connection.close()
        return self.place(name)

    def place(self, name: str) -> Place:
        return Place(host=str(self.folder), user=USER, name=name)

    def _is_ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "log").read_text()
        return self._run("pg_isready", "-q", "-h", str(self.folder), check=False) == 0

    def _run(self, program: str, *arguments: str, check: bool = True) -> int:
        command = [str(_programs() / program), *arguments]
        done = subprocess.run(
            command, user=_user(), cwd=self.folder, capture_output=True, text=True, check=False
        )
        assert not check or done.returncode == 0, done.stderr
        return done.returncode


_UNPRIVILEGED = "nobody"


def _user() -> str | None:
    return _UNPRIVILEGED if os.geteuid() == 0 else None


def _programs() -> Path:
    found = find_spec("pgserver")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "pginstall" / "bin"


@contextmanager
def postgres() -> Iterator[Postgres]:
    """Run a server in this block. Its folder has a short name, as sockets need."""
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    try:
        server = Postgres(folder)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
