"""Gateway and engine supervisor as two containers see each other: one folder, and nothing else in common.

Each runs in a process namespace of its own, where the other's pid means nothing or names a stranger. What they know of
each other has to be in the shared folder: the roster, the sockets, the locks.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.architecture.repository import ROOT

DEADLINE_SECONDS = 60.0
NAMESPACE = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child=KILL", "--mount-proc"]


def can_unshare() -> bool:
    if shutil.which("unshare") is None:
        return False
    return subprocess.run([*NAMESPACE, "true"], capture_output=True, check=False).returncode == 0


pytestmark = pytest.mark.skipif(
    not can_unshare(), reason="this kernel gives no process namespace to this user"
)


class Box:
    """One `cascadia` verb in a process namespace, where it is process 1."""

    def __init__(self, folder: Path, verb: str) -> None:
        self.log = folder / f"{verb}-{len(list(folder.glob('*.log')))}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*NAMESPACE, sys.executable, "-m", "gateway", verb],
                env=environment(folder),
                cwd=ROOT,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def inner(self) -> int:
        """The verb's pid as this side sees it."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text("ascii")
        return int(children.split()[0])

    def end(self, number: signal.Signals) -> int:
        """Send `number` to the verb; its exit code."""
        if self.process.poll() is None:
            os.kill(self.inner(), number)
        return self.process.wait(DEADLINE_SECONDS)


def environment(folder: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {
        **kept,
        "CASCADIA_CONFIG": str(ROOT / "config" / "container.yaml"),
        "CASCADIA_DATA_DIR": str(folder / "data"),
        "CASCADIA_AUTH__MODE": "anonymous",
        "CASCADIA_SERVER__LISTEN": f"unix:{folder}/api.sock",
        "CASCADIA_SERVER__ADMIN_LISTEN": f"unix:{folder}/admin.sock",
        "ENGINE_KIND": "simulated",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


@contextmanager
def running(folder: Path, verb: str) -> Iterator[Box]:
    box = Box(folder, verb)
    try:
        yield box
    finally:
        box.end(signal.SIGKILL)


def until(condition: Callable[[], bool], box: Box) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert box.process.poll() is None, box.log.read_text("utf-8")
        assert time.monotonic() < deadline, box.log.read_text("utf-8")
        time.sleep(0.05)


def ask(folder: Path) -> int:
    """The status of one call through the gateway."""
    with httpx.Client(transport=httpx.HTTPTransport(uds=f"{folder}/api.sock"), timeout=10) as client:
        body = {"model": "tiny", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 1}
        return client.post("http://gateway/v1/chat/completions", json=body).status_code


@pytest.fixture
def folder() -> Iterator[Path]:
    # Not tmp_path: a socket's path has at most 107 bytes.
    with tempfile.TemporaryDirectory(prefix="boxes-") as name:
        yield Path(name)


def test_gateway_and_engines_need_nothing_but_the_shared_folder(folder: Path) -> None:
    with running(folder, "gateway") as gateway, running(folder, "engines") as engines:
        until(lambda: "URL" in gateway.log.read_text("utf-8"), gateway)
        until(lambda: ask(folder) == httpx.codes.OK, engines)

        # The whole container is gone at once, its roster stays: the gateway must notice by itself.
        engines.end(signal.SIGKILL)
        assert ask(folder) != httpx.codes.OK

        with running(folder, "engines") as restarted:
            until(lambda: ask(folder) == httpx.codes.OK, restarted)
            assert gateway.end(signal.SIGTERM) == 0
            assert restarted.end(signal.SIGTERM) == 0


def test_second_supervisor_on_the_folder_is_refused(folder: Path) -> None:
    with running(folder, "engines") as first:
        until((folder / "data" / "run" / "engines.json").exists, first)
        with running(folder, "engines") as second:
            assert second.process.wait(DEADLINE_SECONDS) == 1
        assert "already supervised" in second.log.read_text("utf-8")
        assert first.process.poll() is None
