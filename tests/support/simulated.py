"""The simulated engine as a process: a server that already runs, and the worker of a configuration."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.product import REPOSITORY, until

SIMULATED_CONFIG = """\
engines:
- name: tiny
  engine: simulated
  args: [--sim-ttft-ms, "2", --sim-itl-ms, "2", --sim-tokens, "8"]
"""


@contextmanager
def simulated(folder: Path, *arguments: str) -> Iterator[str]:
    """Run a server without a key in this block; gives its address as `--upstream` takes it."""
    path = folder / "simulated.sock"
    command = [
        sys.executable,
        "-m",
        "engines.simulated",
        "--model",
        "simulated",
        "--uds",
        str(path),
        *arguments,
    ]
    process = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: _is_listening(path), seconds=30, what=lambda: f"it ended with {process.poll()}")
        yield f"unix:{path}"
    finally:
        process.kill()
        process.wait()


def _is_listening(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0
