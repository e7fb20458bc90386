"""Every end becomes an exit code and last words; a bug becomes a file."""

import os
import stat
import subprocess
import sys
import types
from pathlib import Path

import pytest

from gateway.auth.keys import KeyFileError
from gateway.cli import edge
from gateway.cli.exits import MEANINGS, ExitCode
from gateway.cli.failure import Failure
from gateway.listen import ListenError

ROOT = Path(__file__).parents[3]


@pytest.fixture
def verb(monkeypatch):
    """Make `cascadia version` run a function."""

    def _set(function):
        monkeypatch.setattr(edge, "command_of", lambda _: types.SimpleNamespace(main=lambda **_: function()))

    return _set


def raising(error):
    def function():
        raise error

    return function


def test_codes_are_those_of_the_table():
    assert {code.name: code.value for code in ExitCode} == {
        "OK": 0,
        "FAILED": 1,
        "USAGE": 2,
        "GATE": 3,
        "UNREACHABLE": 69,
        "CONFIG": 78,
        "INTERRUPTED": 130,
    }
    assert set(MEANINGS) == set(ExitCode)


def test_a_verb_that_says_nothing_ends_with_0(cascadia, verb):
    verb(lambda: None)
    assert cascadia("version").code == 0


def test_a_verb_gives_its_own_code(cascadia, verb):
    verb(lambda: ExitCode.GATE)
    assert cascadia("version").code == 3


def test_a_failure_says_cause_fix_and_next_command_last(cascadia, verb):
    verb(
        raising(Failure("the disk is full", fix="free some", next_command="df -h", code=ExitCode.UNREACHABLE))
    )
    called = cascadia("version")
    assert called.code == 69
    assert called.err == "error: the disk is full\n  fix: free some\n next: df -h\n"


def test_ctrl_c_ends_with_130(cascadia, verb):
    verb(raising(KeyboardInterrupt()))
    assert cascadia("version").code == 130


def test_a_bug_becomes_a_private_file_and_four_lines(cascadia, verb, data):
    verb(raising(ZeroDivisionError("a secret detail\nof two lines")))
    called = cascadia("version")
    (file,) = (data / "crashes").iterdir()
    assert called.code == 1
    assert len(called.err.splitlines()) == 4
    assert "Traceback" not in called.err
    assert str(file) in called.err
    assert called.last == "next: cascadia doctor"
    assert "ZeroDivisionError" in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_bug_is_reported_even_where_the_data_folder_cannot_be_written(
    cascadia, verb, data, monkeypatch, tmp_path
):
    data.parent.mkdir(parents=True)
    data.write_text("a file where the folder should be")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    verb(raising(ZeroDivisionError()))
    called = cascadia("version")
    assert "crash-" in called.err
    assert len(list(tmp_path.glob("cascadia-*/crash-*.txt"))) == 1


def test_foreign_refusals_get_their_code(cascadia, verb):
    for error, code in (
        (KeyFileError("keys.json is broken"), 78),
        (ListenError("127.0.0.1:1", "permission denied", 13), 1),
    ):
        verb(raising(error))
        called = cascadia("version")
        assert called.code == code
        assert str(error) in called.err
        assert called.last.startswith("next: ")


def test_the_engines_refusals_get_their_code(cascadia, verb):
    from engines.environment.errors import NotEnoughDisk
    from engines.launch.errors import AlreadySupervised, ModelUnusable

    refused = {"where": "engines.a.model", "why": "it is a file", "remedy": "name a folder"}
    for error, code in (
        (ModelUnusable("no model", **refused), 78),
        (AlreadySupervised("held", **refused), 1),
        (NotEnoughDisk("disk full", "0 B are left", "free some"), 1),
    ):
        verb(raising(error))
        called = cascadia("version")
        assert called.code == code
        assert error.what in called.err
        assert error.why in called.err


@pytest.mark.parametrize("arguments", [["--help"], ["config", "schema"]])
def test_a_reader_that_has_gone_is_no_error(arguments):
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write) as closed:
        done = subprocess.run(
            [sys.executable, "-m", "gateway", *arguments],
            stdout=closed,
            stderr=subprocess.PIPE,
            cwd=ROOT,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, b"")
