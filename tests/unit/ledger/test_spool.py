"""What was appended is there after any crash; a disk that fails is told of, left alone and taken up again."""

import errno
import os
import shutil
import stat
import subprocess
import sys

import pytest

from gateway.ledger import segments
from gateway.ledger.disk import Disk, File
from gateway.ledger.frames import frame
from gateway.ledger.records import encode
from gateway.ledger.slate import Slate
from gateway.ledger.spool import Spool, SpoolError
from tests.support.product import until
from tests.support.usage import ended


def ids(folder):
    """Of all records on disk, each once."""
    found = []
    for number in segments.numbers(folder):
        found += [each.id for each in segments.read(folder, number).records]
    return list(dict.fromkeys(found))


def append(spool, *names):
    for name in names:
        spool.append(encode(ended(name)))


def test_what_was_appended_is_on_disk_in_its_order(make_spool, committed):
    spool = make_spool()
    names = [f"r{number}" for number in range(1000)]
    append(spool, *names)
    committed(spool)
    assert ids(spool.folder) == names
    assert sum(spool.sizes.values()) == spool.size > 0


def test_folder_and_files_are_their_owners_alone(make_spool, committed):
    spool = make_spool()
    append(spool, "a")
    committed(spool)
    assert stat.S_IMODE(spool.folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in spool.folder.iterdir()} == {0o600}


def test_two_processes_cannot_share_a_folder(make_spool, tmp_path):
    make_spool()
    with pytest.raises(SpoolError, match="another process"):
        Spool(tmp_path / "ledger", reserve_bytes=0, most_bytes=1).open()


def test_a_full_segment_is_followed_by_a_new_one(make_spool, committed):
    spool = make_spool(segment_bytes=1)
    for number in range(5):
        append(spool, f"r{number}")
        committed(spool)
    assert len(segments.numbers(spool.folder)) == 5
    assert ids(spool.folder) == [f"r{number}" for number in range(5)]


def test_more_than_may_wait_is_refused_until_some_of_it_went(make_spool, committed):
    one = len(frame(1, encode(ended("a"))))
    spool = make_spool(most_bytes=2 * one, segment_bytes=1)
    append(spool, "a")
    committed(spool)
    assert not spool.is_full
    append(spool, "b")
    committed(spool)
    assert spool.is_full
    spool.forget(1)
    assert not spool.is_full


KILLED = """
import os, signal, sys
from pathlib import Path
from gateway.ledger.records import encode
from gateway.ledger.spool import Spool
from tests.support.usage import ended

spool = Spool(Path(sys.argv[1]), reserve_bytes=0, most_bytes=1 << 30, memory=Path(sys.argv[2]))
spool.open()
for number in range(int(sys.argv[3])):
    spool.append(encode(ended(f"r{number}")))
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("count", [1, 2, 100, 3000])
def test_a_process_that_is_killed_right_after_an_append_loses_nothing(make_spool, tmp_path, count):
    (tmp_path / "memory").mkdir(exist_ok=True)
    command = [sys.executable, "-c", KILLED, str(tmp_path / "ledger"), str(tmp_path / "memory"), str(count)]
    assert subprocess.run(command, check=False, timeout=30).returncode == -9
    spool = make_spool()
    assert sorted(ids(spool.folder)) == sorted(f"r{number}" for number in range(count))
    assert set(spool.previous) == set(segments.numbers(spool.folder)) - {spool.current}


def test_after_a_good_end_nothing_is_left_in_memory(make_spool, committed, tmp_path):
    spool = make_spool()
    append(spool, "a")
    spool.close()
    spool.release()
    assert spool.committed == 1
    assert list((tmp_path / "memory").iterdir()) == []


def test_a_slate_of_somebody_else_is_not_used(make_spool, tmp_path):
    spool = make_spool()
    (slate,) = (tmp_path / "memory").iterdir()
    spool.close()
    spool.release()
    slate.symlink_to(tmp_path / "victim")
    spool = make_spool()
    assert not (tmp_path / "victim").exists()
    assert (spool.folder / "slate").exists()


class Failing(Disk):
    """Fails the call whose number `fails` has, with `error`. `torn` writes half of what it was given first."""

    def __init__(self, fails, error=errno.EIO, *, torn=True):
        self.calls = 0
        self.synced_after_failure = []
        self._fails = fails
        self._error = error
        self._torn = torn

    def step(self):
        self.calls += 1
        if self._fails(self.calls):
            raise OSError(self._error, os.strerror(self._error))

    def create(self, path):
        self.step()
        return FailingFile(path, self)

    def reserve(self, path, size):
        self.step()
        super().reserve(path, size)


class FailingFile(File):
    def __init__(self, path, disk):
        super().__init__(path)
        self._disk = disk
        self._has_failed = False

    def write(self, data):
        try:
            self._disk.step()
        except OSError:
            self._has_failed = True
            if self._disk._torn:
                super().write(data[: len(data) // 2])
            raise
        super().write(data)

    def sync(self):
        if self._has_failed:
            self._disk.synced_after_failure.append(self)
        try:
            self._disk.step()
        except OSError:
            self._has_failed = True
            raise
        super().sync()

    def cut(self, size):
        self._disk.step()
        super().cut(size)


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC], ids=["EIO", "ENOSPC"])
@pytest.mark.parametrize("nth", range(1, 14))
def test_any_one_call_to_the_disk_may_fail(make_spool, committed, monkeypatch, nth, error):
    monkeypatch.setattr("gateway.ledger.spool.RETRY_AFTER", 0.001)
    disk = Failing(lambda call: call == nth, error)
    spool = make_spool(disk=disk, segment_bytes=200)
    for number in range(6):
        append(spool, f"r{number}")
        committed(spool)
    assert disk.calls > nth
    assert ids(spool.folder) == [f"r{number}" for number in range(6)]
    assert spool.trouble is None
    assert not spool.is_full
    assert disk.synced_after_failure == []


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC], ids=["EIO", "ENOSPC"])
def test_a_disk_that_takes_nothing_refuses_new_work_and_comes_back_by_itself(
    make_spool, committed, monkeypatch, error
):
    monkeypatch.setattr("gateway.ledger.spool.RETRY_AFTER", 0.001)
    is_bad = [False]
    spool = make_spool(disk=Failing(lambda _: is_bad[0], error))
    append(spool, "a")
    committed(spool)
    is_bad[0] = True
    append(spool, "b")
    until(lambda: spool.is_full, seconds=10, what=lambda: repr(spool))
    append(spool, "c")
    is_bad[0] = False
    committed(spool)
    assert ids(spool.folder) == ["a", "b", "c"]
    until(lambda: not spool.is_full, seconds=10, what=lambda: repr(spool))


class Small(Failing):
    """A disk with room for so many bytes, reserve included."""

    def __init__(self, room):
        super().__init__(lambda _: False, errno.ENOSPC)
        self.room = room
        self.reserved = 0

    def free(self, folder):
        return self.room - self._used(folder)

    def reserve(self, path, size):
        if size > self.free(path.parent):
            raise OSError(errno.ENOSPC, "no space")
        super().reserve(path, size)

    def create(self, path):
        return SmallFile(path, self)

    def _used(self, folder):
        return sum(path.stat().st_size for path in folder.iterdir() if path.name not in {"slate", "lock"})


class SmallFile(File):
    def __init__(self, path, disk):
        super().__init__(path)
        self._path = path
        self._disk = disk

    def write(self, data):
        room = self._disk.free(self._path.parent)
        super().write(data[: max(room, 0)])
        if room < len(data):
            raise OSError(errno.ENOSPC, "no space")


def test_on_a_full_disk_the_reserve_takes_the_records_of_what_runs(make_spool, committed, monkeypatch):
    monkeypatch.setattr("gateway.ledger.spool.LOOK_EVERY", 0.01)
    disk = Small(10_000)
    spool = make_spool(disk=disk, reserve_bytes=2_000, segment_bytes=500)
    reserve = spool.folder / "reserve"
    until(reserve.exists, seconds=10, what=lambda: repr(spool))
    names = []
    while not spool.is_full:
        names.append(f"r{len(names)}")
        append(spool, names[-1])
        committed(spool)
        assert len(names) < 1000
    assert not reserve.exists()
    more = [f"late{number}" for number in range(10)]
    append(spool, *more)
    committed(spool)
    assert spool.is_full
    assert ids(spool.folder) == names + more
    for number in list(spool.sizes)[:-1]:
        spool.forget(number)
    until(lambda: not spool.is_full, seconds=10, what=lambda: repr(spool))
    assert reserve.exists()


def test_records_beyond_what_memory_may_hold_are_dropped_and_counted(make_spool, monkeypatch):
    monkeypatch.setattr("gateway.ledger.spool.MOST_PENDING", 10)
    spool = Spool(make_spool().folder.parent / "other", reserve_bytes=0, most_bytes=1)
    append(spool, *map(str, range(15)))
    assert spool.dropped == 5
    assert spool.number == 10


def test_damage_is_kept_aside(make_spool, committed):
    spool = make_spool()
    append(spool, "a", "b")
    committed(spool)
    file = segments.path_of(spool.folder, 1)
    data = bytearray(file.read_bytes())
    data[30] ^= 1
    file.write_bytes(data)
    read = segments.read(spool.folder, 1)
    assert [each.id for each in read.records] == ["b"]
    (kept,) = (spool.folder / segments.TORN).iterdir()
    assert kept.read_bytes() == data[: read.torn]


def test_a_folder_that_is_made_anew_gets_nothing_of_what_a_former_one_left(tmp_path):
    memory = tmp_path / "memory"
    memory.mkdir()
    for folder in (tmp_path / "ledger", tmp_path / "ledger"):
        folder.mkdir()
        slate = Slate(folder, memory=memory)
        assert slate.left() == []
        slate.put(frame(1, b"left"))
        again = Slate(folder, memory=memory)
        assert again.left() == [b"left"]  # in the same folder it is found again
        again.close(forget=False)
        slate.close(forget=False)
        shutil.rmtree(folder)


def test_a_slate_whose_frames_are_on_disk_is_written_from_its_beginning_again(tmp_path):
    memory = tmp_path / "memory"
    memory.mkdir()
    slate = Slate(tmp_path, memory=memory)
    slate.put(frame(1, b"first"))
    slate.put(frame(2, b"second"))
    slate.commit(2)
    slate.rewind()
    slate.put(frame(3, b"third"))
    assert slate.left() == [b"third"]
    assert slate.path.read_bytes().count(b"first") == 0
    assert slate.path.read_bytes().count(b"second") == 1  # what is left of it does not count
    slate.clear()
    assert slate.left() == []
    slate.put(frame(1, b"new"))
    assert slate.left() == [b"new"]
    slate.close(forget=True)
