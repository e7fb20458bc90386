"""Shared memory of a worker that outlives it: found while the worker lives, removed when nothing of it is left.

vLLM's processes speak through segments of Python's `shared_memory`, 400 MB of them for a worker on the CPU. A process
that is killed removes none, and the tracker that would is killed with it. Only names that their makers choose at random
are touched: a segment with a name of its own may be shared with a stranger on purpose.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import msgspec

FOLDER = Path("/dev/shm")  # noqa: S108 - where Linux keeps shared memory
_RANDOM_NAMES = ("psm_", "sem.mp-", "torch_", "nccl-")
"""Python's segments and semaphores, PyTorch's segments, NCCL's."""


class Segment(msgspec.Struct, frozen=True):
    """One file in shared memory; the inode tells it from a later one of the same name."""

    name: str
    inode: int


def held_by(pids: Iterable[int], folder: Path = FOLDER) -> frozenset[Segment]:
    """The segments that these processes have mapped. Processes that ended or belong to another user have none."""
    inodes = {inode for pid in pids for inode in _mapped(pid, folder)}
    return frozenset(segment for segment in _segments(folder) if segment.inode in inodes)


def remove(segments: Iterable[Segment], folder: Path = FOLDER) -> None:
    """Remove what is still there of `segments`, and still the same. Raises `OSError` for what may not be removed."""
    for segment in segments:
        path = folder / segment.name
        with suppress(FileNotFoundError):
            if path.lstat().st_ino == segment.inode:
                path.unlink()


def _mapped(pid: int, folder: Path) -> set[int]:
    """Inodes of the mapped files of `folder`. Not by their names: glibc maps a semaphore before it names it."""
    try:
        maps = Path(f"/proc/{pid}/maps").read_bytes()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return set()
    prefix = os.fsencode(folder) + b"/"
    lines = (line.split(maxsplit=5) for line in maps.splitlines() if prefix in line)
    return {int(fields[4]) for fields in lines if fields[-1].startswith(prefix)}


def _segments(folder: Path) -> list[Segment]:
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        return [Segment(each.name, each.inode()) for each in entries if each.name.startswith(_RANDOM_NAMES)]
