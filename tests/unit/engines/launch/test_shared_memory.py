"""Finding and removing shared memory, with real segments and a real process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from multiprocessing import resource_tracker
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path

import pytest

from engines.launch import orphans
from engines.launch.orphans import WorkerProcess
from engines.launch.session import Identity, Session
from engines.launch.shared_memory import FOLDER, Segment, held_by, remove

HOLDER = """
import sys
from multiprocessing import get_context, resource_tracker
from multiprocessing.shared_memory import SharedMemory
segment = SharedMemory(create=True, size=4096)
resource_tracker.unregister(segment._name, "shared_memory")
named = SharedMemory(name=sys.argv[1])
resource_tracker.unregister(named._name, "shared_memory")
lock = get_context("spawn").Lock()
resource_tracker.unregister(lock._semlock.name, "semaphore")
print(segment.name, lock._semlock.name.lstrip("/"), flush=True)
input()
"""


@pytest.fixture
def named() -> Iterator[SharedMemory]:
    """A segment that its maker named, to share it with others."""
    segment = SharedMemory(name=f"cascadia-test-{os.getpid()}", create=True, size=4096)
    yield segment
    segment.close()
    segment.unlink()


def test_what_a_killed_process_held_is_found_and_removed_and_what_was_named_stays(
    named: SharedMemory,
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, named.name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        memory, semaphore = process.stdout.readline().split()
        held = held_by([process.pid])
        process.kill()
    assert {segment.name for segment in held} == {memory, f"sem.{semaphore}"}
    assert (FOLDER / memory).exists()
    remove(held)
    assert not (FOLDER / memory).exists()
    assert not (FOLDER / f"sem.{semaphore}").exists()
    assert (FOLDER / named.name).exists()
    remove(held)  # once is enough, twice is no error


def test_a_later_segment_of_the_same_name_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "psm_1").touch()
    remove([Segment("psm_1", (tmp_path / "psm_1").stat().st_ino + 1)], tmp_path)
    assert (tmp_path / "psm_1").exists()


def test_a_process_that_is_gone_and_a_machine_without_shared_memory_hold_nothing(tmp_path: Path) -> None:
    assert held_by([2**22 + 1]) == frozenset()
    assert held_by([os.getpid()], tmp_path / "none") == frozenset()


async def test_the_next_supervisor_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    records, scratch = tmp_path / "records", tmp_path / "scratch"
    records.mkdir()
    scratch.mkdir()
    (scratch / "socket").touch()
    segment = SharedMemory(create=True, size=4096)
    resource_tracker.unregister(f"/{segment.name}", "shared_memory")
    [held] = held_by([os.getpid()])
    gone = Session(Identity(2**22 + 1, 0))
    orphans.write(
        records,
        WorkerProcess(worker="w", boot="a former boot", session=gone, scratch=str(scratch), shared=(held,)),
    )
    assert await orphans.reap(records, grace_s=0) == {}
    segment.close()
    assert not scratch.exists()
    assert not (FOLDER / held.name).exists()
    assert list(records.iterdir()) == []
