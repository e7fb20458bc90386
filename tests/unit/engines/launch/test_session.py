"""Which processes are a worker's, with real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from engines.launch import orphans
from engines.launch.orphans import WorkerProcess
from engines.launch.session import Identity, Session, boot_id, identify

PARENT = """
import subprocess, sys, time
children = [subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"], process_group=group)
            for group in (None, 0)]
print(*[child.pid for child in children], flush=True)
time.sleep(60)
"""
DEAF = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(0, flush=True)
time.sleep(60)
"""

Start = Callable[[str], tuple[subprocess.Popen[str], list[int]]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a program as the leader of a session and reads the pids that it prints."""
    started: list[subprocess.Popen[str]] = []

    def begin(program: str) -> tuple[subprocess.Popen[str], list[int]]:
        process = subprocess.Popen(
            [sys.executable, "-S", "-c", program], stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        started.append(process)
        assert process.stdout is not None
        return process, [int(word) for word in process.stdout.readline().split()]

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def left_in(folder: Path) -> list[Path]:
    return list(folder.iterdir())


def session_of(process: subprocess.Popen[str]) -> Session:
    identity = identify(process.pid)
    assert identity is not None
    return Session(identity)


def until(holds: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def pids(session: Session) -> set[int]:
    return {member.pid for member in session.members()}


def test_members_are_the_leader_and_all_it_started_also_in_other_groups(start: Start):
    leader, children = start(PARENT)
    session = session_of(leader)
    assert pids(session) == {leader.pid, *children}
    session.signal(signal.SIGKILL)
    leader.wait()
    until(lambda: not session.members())


def test_children_of_a_dead_leader_are_ours_if_one_was_seen_before(start: Start):
    leader, children = start(PARENT)
    seen = session_of(leader).look()
    unseen = Session(seen.leader)
    leader.kill()
    leader.wait()
    assert pids(seen) == set(children)
    assert pids(unseen) == set()  # the number could be a stranger's by now
    assert {member.pid for member in unseen.look_after_exit().seen} == set(children)
    seen.signal(signal.SIGKILL)
    until(lambda: not seen.members())


def test_a_reused_pid_never_makes_a_stranger_ours(start: Start):
    stranger, _ = start(PARENT)
    now = identify(stranger.pid)
    assert now is not None
    former = Session(Identity(now.pid, now.start_ticks - 1), seen=(now,))
    assert former.members() == ()
    former.signal(signal.SIGKILL)
    assert stranger.poll() is None
    Session(now).look().signal(signal.SIGKILL)


def test_a_zombie_is_not_alive(start: Start):
    leader, _ = start("print(0, flush=True)")
    until(lambda: identify(leader.pid) is None)
    assert leader.returncode is None  # its exit has not been collected yet


async def test_end_kills_what_does_not_listen(start: Start):
    leader, _ = start(DEAF)
    session = session_of(leader)
    await orphans.end(session, worker="w", grace_s=0.05)
    leader.wait()
    assert leader.returncode == -signal.SIGKILL


async def test_end_lets_end_by_itself_what_listens(start: Start):
    leader, _ = start("import time; print(0, flush=True); time.sleep(60)")
    await orphans.end(session_of(leader), worker="w", grace_s=10)
    leader.wait()
    assert leader.returncode == -signal.SIGTERM


async def test_reap_ends_what_is_recorded_and_clears_up(start: Start, tmp_path: Path):
    leader, _ = start("import time; print(0, flush=True); time.sleep(60)")
    socket = tmp_path / "w.sock"
    socket.touch()
    orphans.write(
        tmp_path, WorkerProcess(worker="w", boot=boot_id(), session=session_of(leader), socket=str(socket))
    )
    assert await orphans.reap(tmp_path, grace_s=10) == {"w": 1}
    leader.wait()
    assert left_in(tmp_path) == []


async def test_reap_touches_nothing_of_another_boot_or_another_start(start: Start, tmp_path: Path):
    stranger, _ = start("import time; print(0, flush=True); time.sleep(60)")
    mine = session_of(stranger)
    other = Session(Identity(stranger.pid, mine.leader.start_ticks - 1))
    orphans.write(tmp_path, WorkerProcess(worker="a", boot="another boot", session=mine))
    orphans.write(tmp_path, WorkerProcess(worker="b", boot=boot_id(), session=other))
    assert await orphans.reap(tmp_path, grace_s=0) == {}
    assert stranger.poll() is None
    assert left_in(tmp_path) == []


async def test_a_record_that_cannot_be_read_is_removed(tmp_path: Path):
    (tmp_path / "w.json").write_text("{")
    assert await orphans.reap(tmp_path, grace_s=0) == {}
    assert left_in(tmp_path) == []


def test_the_process_of_this_test_is_itself():
    me = identify(os.getpid())
    assert me is not None
    assert me.is_alive()
    with suppress(ProcessLookupError):
        assert identify(2**22 + 1) is None
