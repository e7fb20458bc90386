"""Runs one command to its end with all output in a log file, calling back meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

_POLL = 0.25
"""Seconds between two calls of ``tick``."""
_GRACE = 5.0
"""Seconds that an interrupted installer has to clean up after itself."""


class Run(Protocol):
    """Executes a command; injected so that tests need no installer."""

    def __call__(
        self,
        argv: Sequence[str],
        environment: Mapping[str, str],
        log: Path,
        tick: Callable[[], None],
        keep_open: int,
    ) -> int:
        """Append the output to ``log``, call ``tick`` several times a second, return the exit code."""
        ...  # pragma: no cover


def run_logged(
    argv: Sequence[str],
    environment: Mapping[str, str],
    log: Path,
    tick: Callable[[], None],
    keep_open: int,
) -> int:
    """Run a command as `Run` describes; neither it nor its own children outlive an exception raised here.

    ``keep_open`` is the lock's file descriptor. The command inherits it, so that the lock is held as long as
    anything still writes into the folder, even when this process is killed and cannot end the command.
    """
    with log.open("ab") as output:
        output.write(f"$ {' '.join(argv)}\n".encode())
        output.flush()
        child = subprocess.Popen(  # noqa: S603 - built from literals, our lists and the operator's own choices
            argv,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=(keep_open,),
            start_new_session=True,
        )
        try:
            return _wait(child, tick)
        except BaseException:
            _end(child)
            raise


def _wait(child: subprocess.Popen[bytes], tick: Callable[[], None]) -> int:
    while True:
        try:
            return child.wait(_POLL)
        except subprocess.TimeoutExpired:
            tick()


def _end(child: subprocess.Popen[bytes]) -> None:
    """End the whole process group: compileall's workers would wait for work for ever, and hold the lock."""
    os.killpg(child.pid, signal.SIGTERM)
    try:
        child.wait(_GRACE)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
