"""One gateway per data folder and per port: taking both, and naming who has them."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import psutil
from filelock import FileLock, Timeout

from gateway.cli.failure import Failure
from gateway.listen import ListenError, listen


class InstanceRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds a data folder. `start_time` with `pid` names one process for good."""

    version: int = 1
    pid: int
    start_time: float
    url: str = ""
    """Where it listens; empty while it starts."""
    admin_url: str = ""

    def is_running(self) -> bool:
        """Whether that very process still runs."""
        try:
            return abs(psutil.Process(self.pid).create_time() - self.start_time) < 1
        except psutil.Error:
            return False


def record_path(run: Path, role: str) -> Path:
    """Where the holder of `role` ("gateway" or "up") in the folder `run` describes itself."""
    return run / f"{role}.json"


def read_record(run: Path, role: str) -> InstanceRecord | None:
    """The running holder of `role`, `None` when nobody is."""
    try:
        record = msgspec.json.decode(record_path(run, role).read_bytes(), type=InstanceRecord)
    except (OSError, msgspec.DecodeError):
        return None
    return record if record.is_running() else None


@contextmanager
def only_one(run: Path, role: str) -> Iterator[Callable[[str, str], None]]:
    """Hold `role` in the data folder of `run`, made with mode 0700 if need be.

    Gives a function that makes known where the holder listens (url, admin_url).
    Raises `Failure`, naming the holder, when another process has it.
    """
    lock = _lock(run, role)
    file = record_path(run, role)
    me = psutil.Process()

    def publish(url: str, admin_url: str) -> None:
        record = InstanceRecord(pid=me.pid, start_time=me.create_time(), url=url, admin_url=admin_url)
        temporary = file.with_name(f".{file.name}.{me.pid}")
        temporary.write_bytes(msgspec.json.encode(record))
        temporary.replace(file)

    try:
        publish("", "")
        yield publish
    finally:
        file.unlink(missing_ok=True)
        lock.release()


def _lock(run: Path, role: str) -> FileLock:
    try:
        # Each by itself: mkdir gives its mode to the last folder alone.
        for folder in (run.parent, run):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = FileLock(run / f"{role}.lock", mode=0o600)
        lock.acquire(blocking=False)
    except Timeout:
        raise _held(run, role) from None
    except OSError as error:
        raise Failure(
            f"the data folder {run.parent} cannot be used: {error.strerror}",
            fix="name a folder of your own with --data-dir",
            next_command=f"ls -ld {run.parent}",
        ) from error
    return lock


def _held(run: Path, role: str) -> Failure:
    holder = read_record(run, role)
    who = f"process {holder.pid}" if holder else "a process that is just starting"
    place = f", at {holder.url}" if holder and holder.url else ""
    what = "a gateway" if role == "gateway" else f"cascadia {role}"
    return Failure(
        f"{what} already runs on the data folder {run.parent}: {who}{place}",
        fix="stop it first, or give this one a folder of its own with --data-dir",
        next_command=f"kill {holder.pid}" if holder else "cascadia status",
    )


def refuse_taken(addresses: Sequence[str]) -> None:
    """Raise `ListenError` when one of `addresses` cannot be listened on, by opening and closing it."""
    for address in addresses:
        with listen(address):
            continue


def taken(error: ListenError) -> Failure:
    """An address that cannot be had, with the process that has it."""
    if error.errno != errno.EADDRINUSE:
        return Failure(
            str(error),
            fix="use an address of this machine, and a port from 1024 to 65535",
            next_command="cascadia config show --why",
        )
    port = error.address.rpartition(":")[2]
    holder = holder_of(int(port)) if port.isdigit() else "another process"
    return Failure(
        f"{error.address} is taken by {holder}",
        fix="stop that process, or listen on another port with --listen (server.listen, server.admin_listen)",
        next_command="cascadia status",
    )


def holder_of(port: int) -> str:
    """Who listens on a TCP port of this machine, in words."""
    try:
        found = [each for each in psutil.net_connections("tcp") if each.status == psutil.CONN_LISTEN]
        # laddr is (address, port), and empty for a socket that is not bound.
        pids = {each.pid for each in found if each.pid and tuple(each.laddr)[1:] == (port,)}
        names = [f"process {pid} ({psutil.Process(pid).name()})" for pid in sorted(pids)]
    except psutil.Error:
        names = []
    return ", ".join(names) or "a process of another user"
