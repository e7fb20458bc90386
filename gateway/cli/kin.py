"""Who belongs to whom: a child that ends with its parent, and a parent that adopts, reaps and ends what is left.

In a container `cascadia up` may be process 1, to which the kernel gives every orphan; elsewhere it asks for that part.
"""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Collection
from typing import Final

import psutil

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36
_LAST_WAIT_S: Final = 5.0


def _prctl(option: int, argument: int, name: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, argument, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({name})")


def end_with_parent(parent: int, number: signal.Signals = signal.SIGTERM) -> None:
    """Have the kernel send this process a signal when its parent dies, so that a killed `up` leaves nobody behind."""
    _prctl(_PR_SET_PDEATHSIG, int(number), "PR_SET_PDEATHSIG")
    if os.getppid() != parent:
        # It died before the line above: nobody will send the signal.
        os.kill(os.getpid(), number)


def adopt_orphans() -> None:
    """Make this process the parent of every descendant whose own parent dies."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1, "PR_SET_CHILD_SUBREAPER")


def reap_orphans(own: Collection[int]) -> None:
    """Collect adopted processes that have ended; `own` are the pids that somebody else waits for."""
    for child in psutil.Process().children():
        if child.pid in own:
            continue
        try:
            if child.status() == psutil.STATUS_ZOMBIE:
                os.waitpid(child.pid, os.WNOHANG)
        except (psutil.NoSuchProcess, ChildProcessError):
            continue


def end_descendants() -> int:
    """Kill and collect every descendant of this process; returns how many there were."""
    left = psutil.Process().children(recursive=True)
    for process in left:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(left, timeout=_LAST_WAIT_S)
    return len(left)
