"""Running real commands: the log, the lock that outlives us, and the command line."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engines.environment import __main__ as command
from engines.environment.errors import InstallError
from engines.environment.runner import run_logged
from engines.environment.target import LOCK, hold
from engines.environment.world import find_uv

ENVIRONMENT = {"PATH": os.environ["PATH"]}


def is_locked(folder: Path) -> bool:
    with (folder / LOCK).open("rb") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def wait_until(condition, seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


def test_output_of_a_command_goes_to_the_log_with_its_exit_code(tmp_path: Path):
    with hold(tmp_path, lambda: None) as lock:
        argv = ["sh", "-c", "echo out; echo err >&2; exit 3"]
        assert run_logged(argv, ENVIRONMENT, tmp_path / "log", lambda: None, lock) == 3
    assert (tmp_path / "log").read_text().splitlines()[1:] == ["out", "err"]


def test_an_interrupt_ends_the_command_and_its_children(tmp_path: Path):
    pids = tmp_path / "pids"

    def interrupt() -> None:
        if pids.exists() and len(pids.read_text().split()) == 2:
            raise KeyboardInterrupt

    script = f"sleep 60 & echo $$ $! > {pids}; wait"
    with hold(tmp_path, lambda: None) as lock, pytest.raises(KeyboardInterrupt):
        run_logged(["sh", "-c", script], ENVIRONMENT, tmp_path / "log", interrupt, lock)
    wait_until(lambda: not is_locked(tmp_path))  # the children held the lock too
    assert not Path("/proc", pids.read_text().split()[0]).exists()


def test_the_lock_is_held_while_a_killed_installers_command_still_writes(tmp_path: Path):
    code = (
        "import pathlib, sys\n"
        "from engines.environment.runner import run_logged\n"
        "from engines.environment.target import hold\n"
        "root = pathlib.Path(sys.argv[1])\n"
        "with hold(root, lambda: None) as lock:\n"
        "    run_logged(['sh', '-c', 'echo $$; read line < ' + str(root / 'fifo')], {}, root / 'log', lambda: 0, lock)\n"
    )
    os.mkfifo(tmp_path / "fifo")
    installer = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=Path(__file__).parents[3])
    log = tmp_path / "log"
    wait_until(lambda: log.exists() and len(log.read_text().splitlines()) == 2)
    installer.kill()
    installer.wait()
    assert is_locked(tmp_path)
    (tmp_path / "fifo").write_text("go on\n")
    wait_until(lambda: not is_locked(tmp_path))


def test_the_command_line_needs_a_target(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as caught:
        command.main([])
    assert caught.value.code == 2
    assert "--target" in capsys.readouterr().err


def test_the_command_line_refuses_an_unknown_device():
    with pytest.raises(SystemExit) as caught:
        command.main(["--target", "x", "--device", "tpu"])
    assert caught.value.code == 2


def test_a_failure_is_told_with_reason_and_next_step(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    restored_sigterm: None,
):
    (tmp_path / "file").touch()
    assert command.main(["--target", str(tmp_path), "--device", "cpu"]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"error: {tmp_path} is not an engine environment\n  why:  ")
    assert "\n  next: " in said
    assert "Traceback" not in said


@pytest.fixture
def restored_sigterm():
    import signal

    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def test_uv_that_a_version_manager_only_pretends_is_not_used(tmp_path: Path):
    pretended = tmp_path / "uv"
    pretended.write_text("#!/bin/sh\nexit 127\n")
    pretended.chmod(0o755)
    assert find_uv({"PATH": str(tmp_path)}) != str(pretended)


def test_uv_on_the_path_is_found(tmp_path: Path):
    real = tmp_path / "uv"
    real.write_text("#!/bin/sh\necho uv 1.0\n")
    real.chmod(0o755)
    assert find_uv({"PATH": str(tmp_path)}) == str(real)


def test_the_package_needs_nothing_but_the_standard_library():
    code = (
        "import sys; import engines.environment.__main__ as m\n"
        "alien = {n.split('.')[0] for n in sys.modules} - set(sys.stdlib_module_names) - {'engines'}\n"
        "sys.exit(repr(alien) if {a for a in alien if not a.startswith('_')} else 0)"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], cwd=root, capture_output=True, text=True, check=False, env={}
    )
    assert done.returncode == 0, done.stderr


def test_errors_say_what_why_and_the_next_step():
    assert str(InstallError("a failed", "b", "do c")) == "a failed\n  why:  b\n  next: do c"
