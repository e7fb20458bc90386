"""The folder that becomes an engine environment: whose it is, who is at work in it, who runs from it."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from engines.environment.errors import NotEnoughDisk, UnusableTarget
from engines.environment.record import RECORD

LOCK: Final = "cascadia-engine.lock"
LOG: Final = "cascadia-engine.log"
CHECK: Final = "cascadia-engine-check.log"
_GIB = 1 << 30
_RETRY = 0.25


def claim(root: Path) -> None:
    """Create the folder, or accept one that is empty or that an earlier installation made.

    Raises UnusableTarget for anything else: what is there will be deleted, so it must be ours.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        names = {entry.name for entry in root.iterdir()}
    except OSError as error:
        raise UnusableTarget(
            f"{root} cannot be used", str(error), "name another folder with --target"
        ) from error
    if names and RECORD not in names and LOCK not in names:
        raise UnusableTarget(
            f"{root} is not an engine environment",
            "it holds other files, and an installation would delete them",
            "name an empty or new folder with --target, or empty this one yourself",
        )


@contextmanager
def hold(
    root: Path, waiting: Callable[[], None], sleep: Callable[[float], None] = time.sleep
) -> Iterator[int]:
    """Hold the folder's lock and give its file descriptor; released on leaving and when all its heirs have ended.

    While another process has it, ``waiting`` is called several times a second.
    """
    descriptor = os.open(root / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        while not _try_lock(descriptor):
            waiting()
            sleep(_RETRY)
        yield descriptor
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def check_unused(root: Path, processes: Path = Path("/proc")) -> None:
    """Raise UnusableTarget while a process runs from this environment: its modules would vanish under it."""
    prefix = os.fsencode(root / "bin") + b"/"
    pids = sorted(int(entry.name) for entry in processes.glob("[0-9]*") if _command(entry).startswith(prefix))
    if pids:
        raise UnusableTarget(
            f"{root} is in use",
            f"it must be replaced, but process {', '.join(map(str, pids))} runs from it",
            "stop the engines (cascadia up ends them with Ctrl-C), then run the same command again",
        )


def _command(entry: Path) -> bytes:
    """Return a process's first argument; empty when it has just ended."""
    try:
        return (entry / "cmdline").read_bytes().partition(b"\0")[0]
    except OSError:
        return b""


def clear(root: Path) -> None:
    """Delete everything but the lock and the record that says whose the folder is."""
    for entry in root.iterdir():
        if entry.name in {LOCK, RECORD}:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def check_room(root: Path, needed_bytes: int, free_bytes: Callable[[Path], int]) -> None:
    """Raise NotEnoughDisk when the target's file system has less room than an installation takes."""
    free = free_bytes(root)
    if free < needed_bytes:
        raise NotEnoughDisk(
            "not enough disk space for the engine",
            f"it takes about {needed_bytes / _GIB:.0f} GiB at {root}; {free / _GIB:.1f} GiB are free",
            "free some space, or name a folder on another disk with --target",
        )


def free_bytes(root: Path) -> int:
    """Return the room that the current user may still fill on the folder's file system."""
    return shutil.disk_usage(root).free
