"""What a supervisor leaves written about its workers, and how the next one clears up after it.

The workers of a supervisor that was killed are told by the kernel to end (see `child`); a hung one does not, and the
children of a killed engine never hear of it. They hold memory - on a GPU all of it - until someone ends them.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from contextlib import suppress
from pathlib import Path

import msgspec

from engines.launch import shared_memory
from engines.launch.session import Identity, Session, boot_id
from engines.launch.shared_memory import Segment

REST_GRACE_S = 2.0
"""What a leader left behind gets between SIGTERM and SIGKILL: nothing waits for its work any more."""

_POLL_S = 0.05


class WorkerProcess(msgspec.Struct, frozen=True, kw_only=True):
    """The record of one running worker: `run/engines/ID.json`."""

    worker: str
    boot: str
    session: Session
    socket: str | None = None
    scratch: str | None = None
    """Folder in which its processes make the sockets by which they talk to each other."""
    shared: tuple[Segment, ...] = ()
    """Shared memory that it had mapped when it was last looked at."""


class ProcessesRemain(Exception):
    """Processes of a worker outlived SIGKILL: a driver holds them in the kernel. Their GPU memory is not free."""

    def __init__(self, worker: str, pids: tuple[int, ...]) -> None:
        super().__init__(f"{worker}: processes {', '.join(map(str, pids))} cannot be killed")
        self.pids = pids


def write(folder: Path, record: WorkerProcess) -> None:
    """Write the record in one step. Raises `OSError` when the folder cannot be written."""
    path = folder / f"{record.worker}.json"
    temporary = path.with_suffix(".tmp")
    temporary.write_bytes(msgspec.json.encode(record))
    temporary.replace(path)


def forget(folder: Path, record: WorkerProcess) -> None:
    """Remove the record, and all files outside its logs, of a worker of which nothing is left."""
    if record.socket:
        Path(record.socket).unlink(missing_ok=True)
    if record.scratch:
        with suppress(FileNotFoundError):
            shutil.rmtree(record.scratch)
    shared_memory.remove(record.shared)
    (folder / f"{record.worker}.json").unlink(missing_ok=True)


async def end(session: Session, *, worker: str, grace_s: float, kill_s: float = 5.0) -> None:
    """End every process of `session`: ask the leader, after `grace_s` or its exit end what is left of the others.

    Raises `ProcessesRemain` when one outlives SIGKILL by `kill_s`.
    """
    session = session.look()  # while the leader lives, everything it started is certain to be its own
    if session.leader in session.seen:
        # The leader alone: vLLM then ends its core and workers in order, in half the time that a signal to all takes.
        with suppress(ProcessLookupError):
            os.kill(session.leader.pid, signal.SIGTERM)
        await _ended(session.leader, grace_s)
    session.signal(signal.SIGTERM)
    session = await _left_after(session, min(grace_s, REST_GRACE_S))
    session.signal(signal.SIGKILL)
    session = await _left_after(session, kill_s)
    if session.seen:
        raise ProcessesRemain(worker, tuple(member.pid for member in session.seen))


async def _ended(process: Identity, seconds: float) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while process.is_alive() and loop.time() < deadline:  # noqa: ASYNC110 - the kernel has no event
        await asyncio.sleep(_POLL_S)


async def _left_after(session: Session, seconds: float) -> Session:
    """Wait up to `seconds` for the last process of `session` to end; what is left."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while (session := session.look()).seen and loop.time() < deadline:  # noqa: ASYNC110 - the kernel has no event
        await asyncio.sleep(_POLL_S)
    return session


async def reap(folder: Path, *, grace_s: float) -> dict[str, int]:
    """End what a former supervisor left running; worker → how many processes of it there were.

    Only call this while holding the data folder's lock. Raises `ProcessesRemain` when one outlives SIGKILL.
    """
    found: dict[str, int] = {}
    for record in _records(folder):
        if record.boot == boot_id() and (members := record.session.members()):
            found[record.worker] = len(members)
            await end(record.session, worker=record.worker, grace_s=grace_s)
        forget(folder, record)
    return found


def _records(folder: Path) -> list[WorkerProcess]:
    return [record for path in sorted(folder.glob("*.json")) if (record := _read(path))]


def _read(path: Path) -> WorkerProcess | None:
    """The record at `path`; one that cannot be read, of another version say, tells of nothing and is removed."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=WorkerProcess)
    except msgspec.DecodeError:
        path.unlink()
        return None
