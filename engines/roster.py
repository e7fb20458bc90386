"""The roster: what the engine supervisor publishes about its workers, and the gateway reads.

One JSON file, replaced atomically, mode 0600 since it holds the workers' keys. The supervisor is its only writer;
any number of gateways and CLI verbs read it. This module knows the file's shape and nothing of who acts on it.
"""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path

import msgspec

FILE_NAME = "engines.json"
"""Name of the roster inside the run folder."""


class WorkerStatus(StrEnum):
    """Where a worker is in its life. Only `READY` may be sent work."""

    WAITING = "waiting"  # pre-checks passed, not started yet (or between two starts: backing off)
    STARTING = "starting"  # the process runs, no real answer yet
    READY = "ready"  # answered a real one-token request
    DRAINING = "draining"  # finishes what it has, takes nothing new
    STOPPED = "stopped"  # ended because it was asked to
    FAILED = "failed"  # given up: an operator must act


class Published(msgspec.Struct, frozen=True):
    """Where a worker tells what its prefix cache holds: `ipc:///path` of two ZeroMQ sockets."""

    events: str
    replay: str
    tokenizer: str
    """Folder with the tokenizer and chat template of its model."""


class WorkerRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One worker as published. Times are Unix seconds."""

    id: str
    group: str
    models: dict[str, str]
    """Public model name → the engine's own model name."""
    engine: str
    """Adapter name, a key of `engines.adapters.ADAPTERS`."""
    address: str
    """`unix:/path` or `http://127.0.0.1:PORT`."""
    api_key: str
    """Random per start; a restarted worker has another one."""
    max_in_flight: int
    status: WorkerStatus
    phase: str
    """What it is doing, in words: "loading weights"."""
    since: float
    """When it took this status."""
    pid: int | None = None
    restarts: int = 0
    ready_at: float | None = None
    """Best guess of when it will be ready while it starts; `None` when unknown."""
    last_error: str | None = None
    log_tail: tuple[str, ...] = ()
    """The last lines it wrote, oldest first, at most 50."""
    published: Published | None = None
    """Of what its prefix cache holds, where it was told to."""


class Roster(msgspec.Struct, frozen=True, kw_only=True):
    """All workers of one supervisor."""

    version: int = 1
    pid: int
    """The supervisor's process."""
    start_time: float
    """When that process began, as psutil tells it: with `pid` it names one process for good."""
    sequence: int
    """Rises with each publication of one supervisor."""
    workers: tuple[WorkerRecord, ...] = ()


class RosterError(Exception):
    """The roster file exists and cannot be understood."""


def read(path: Path) -> Roster | None:
    """Read the roster at `path`; `None` when there is none.

    Raises `RosterError` when the file is not a roster, `OSError` when it cannot be read.
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        return msgspec.json.decode(raw, type=Roster)
    except msgspec.DecodeError as error:
        raise RosterError(f"{path}: {error}") from error


def write(path: Path, roster: Roster) -> None:
    """Replace the roster at `path` in one step, so that a reader sees the old or the new one, never a part.

    Raises `OSError` when the folder cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.encode(roster))
    temporary.replace(path)
