"""A command line of one's own: its own home, no settings of the machine, streams captured."""

import json
import os
from dataclasses import dataclass

import pytest

from gateway.cli.edge import run


@dataclass
class Called:
    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)

    @property
    def last(self):
        return self.err.rstrip("\n").splitlines()[-1].strip()


@pytest.fixture
def cascadia(tmp_path, monkeypatch, capsys):
    """Call `cascadia` in this process, in an empty folder, with an empty data folder."""
    for name in [name for name in os.environ if name.startswith("CASCADIA_")]:
        monkeypatch.delenv(name)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    monkeypatch.chdir(work)

    def call(*arguments):
        code = run(arguments, os.environ)
        shown = capsys.readouterr()
        return Called(code, shown.out, shown.err)

    return call


@pytest.fixture
def data(tmp_path):
    """The data folder of `cascadia`."""
    return tmp_path / "share" / "cascadia"
