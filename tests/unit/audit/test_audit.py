"""An audit log in which any changed byte and any missing row is found."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
from pathlib import Path

import msgspec
import pytest

from gateway.audit import AuditError, AuditLog, Deed, Entry
from gateway.audit.entry import LONGEST_FIELD, hash_of, line_of, state_hash
from gateway.audit.verify import verify


def deed(number: int = 0) -> Deed:
    return Deed(
        actor=f"actor {number}", role="admin", action="keys.create", object=f"keys/{number}", after="0" * 64
    )


@pytest.fixture
def log(tmp_path: Path) -> AuditLog:
    made = AuditLog(tmp_path / "audit.jsonl", lambda: 1_700_000_000.5)
    for number in range(5):
        made.append(deed(number))
    return made


def test_what_was_written_is_found_in_order(log: AuditLog) -> None:
    verdict = verify(log)
    assert (verdict.entries, verdict.problems) == (5, [])
    assert oct(log.path.stat().st_mode & 0o777) == "0o600"


def test_every_changed_byte_is_found(log: AuditLog) -> None:
    """Each byte of the file in turn, by another of the same place: one bit, a digit, a line end, a blank."""
    whole = log.path.read_bytes()
    unseen = []
    for at, byte in enumerate(whole):
        for other in {byte ^ 1, byte ^ 0x20, 0x0A, 0x20, 0x30} - {byte}:
            log.path.write_bytes(whole[:at] + bytes([other]) + whole[at + 1 :])
            if not verify(log).problems:
                unseen.append((at, other))
    assert unseen == []


def test_a_changed_entry_with_a_hash_to_match_is_found(log: AuditLog) -> None:
    rows = log.path.read_bytes().splitlines(keepends=True)
    for at, row in enumerate(rows):
        entry = msgspec.json.decode(row, type=Entry)
        for changed in (
            msgspec.structs.replace(entry, actor="somebody else"),
            msgspec.structs.replace(entry, seq=9),
        ):
            forged = msgspec.structs.replace(changed, hash=hash_of(changed))
            log.path.write_bytes(b"".join([*rows[:at], line_of(forged), *rows[at + 1 :]]))
            assert verify(log).problems, (at, forged)


def test_every_missing_doubled_or_moved_row_is_found(log: AuditLog) -> None:
    rows = log.path.read_bytes().splitlines(keepends=True)
    for at in range(len(rows)):
        for changed in (
            rows[:at] + rows[at + 1 :],  # one is missing
            rows[:at],  # all from here on are
            rows[at + 1 :],  # all to here are
            [*rows[: at + 1], rows[at], *rows[at + 1 :]],
            [*rows[at:], *rows[:at]] if at else rows[::-1],
        ):
            log.path.write_bytes(b"".join(changed))
            assert verify(log).problems, at
    log.path.unlink()
    assert verify(log).problems


def test_a_cut_end_stays_to_be_seen_after_more_was_written(log: AuditLog) -> None:
    rows = log.path.read_bytes().splitlines(keepends=True)
    log.path.write_bytes(b"".join(rows[:3]))
    log.append(deed(9))
    assert verify(log).problems == ["line 4: entry 6 does not follow entry 3"]


def test_a_log_that_was_written_anew_is_found_by_an_anchor(log: AuditLog, tmp_path: Path) -> None:
    anchor = log.head()
    forged = AuditLog(tmp_path / "forged.jsonl", lambda: 1_700_000_000.5)
    for number in range(6):
        forged.append(deed(number + (number == 2)))
    assert verify(forged).problems == []
    assert verify(forged, [anchor]).problems
    assert verify(log, [anchor]).problems == []


class Disk:
    """Has room for so many bytes more, and takes a part of what is too long, as `write` does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
        self._write = os.write
        self.room = room
        monkeypatch.setattr(os, "write", self.write)

    def write(self, descriptor: int, content: bytes) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = self._write(descriptor, content[: self.room])
        self.room -= written
        return written


def test_a_full_disk_refuses_an_entry_and_leaves_nothing_of_it(log: AuditLog) -> None:
    """Whichever byte is the first without room, of the entry or of the small file beside it."""
    whole, head, sizes = log.path.read_bytes(), log.head(), iter(range(10_000))
    for room in sizes:
        with pytest.MonkeyPatch.context() as patch:
            Disk(patch, room)
            try:
                entry = log.append(deed(5))
            except AuditError as error:
                assert "No space left" in str(error)  # noqa: PT017 - with some room it is written
            else:
                break
        assert (log.path.read_bytes(), log.head()) == (whole, head)
        assert verify(log).problems == []
    assert room > len(line_of(entry))
    assert (verify(log).entries, verify(log).problems) == (6, [])


def test_an_entry_that_a_disk_cannot_keep_is_refused(log: AuditLog, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(AuditError):
            log.append(deed(5))
    assert (verify(log).entries, verify(log).problems) == (5, [])
    assert log.append(deed(5)).seq == 6


def test_what_a_crash_left_of_an_entry_is_cut_off_and_told(log: AuditLog) -> None:
    """Any part of it, with the small file as it was before or not there yet."""
    whole, head = log.path.read_bytes(), log.head_path.read_bytes()
    lost = line_of(log.append(deed(5)))
    for length in range(1, len(lost)):
        torn = lost[:length]
        log.path.write_bytes(whole + torn)
        log.head_path.write_bytes(head)
        if length % 2:
            log.head_path.unlink()
        assert verify(log).problems
        log.append(deed(6))
        assert (verify(log).entries, verify(log).problems) == (7, [])
        told = msgspec.json.decode(list(log.lines())[5], type=Entry)
        assert (told.actor, told.action, told.before) == (
            "audit",
            "audit.cut",
            hashlib.sha256(torn).hexdigest(),
        )
        assert told.object is not None
        assert told.object.startswith(f"{length} bytes ")


def test_what_a_crash_left_is_told_even_where_the_disk_was_full_at_first(log: AuditLog) -> None:
    torn = b'{"seq":6,"at"'
    with log.path.open("ab") as file:
        file.write(torn)
    for room in range(0, 600, 7):
        with pytest.MonkeyPatch.context() as patch:
            disk = Disk(patch, room)

            def cut(descriptor: int, size: int, disk: Disk = disk, room: int = room) -> None:
                os.truncate(descriptor, size)
                disk.room = room + len(torn)  # what is cut off gives its room back

            patch.setattr(os, "ftruncate", cut)
            with pytest.raises(AuditError):
                log.append(deed(6))
        assert log.path.read_bytes().endswith(b"\n" + torn)
    log.append(deed(6))
    assert (verify(log).entries, verify(log).problems) == (7, [])


def test_a_last_entry_that_was_damaged_later_is_not_healed(log: AuditLog) -> None:
    """The small file says that it was whole once."""
    log.path.write_bytes(log.path.read_bytes()[:-10])
    log.append(deed(6))
    assert verify(log).problems == ["line 5: entry 6 does not follow entry 4"]


def test_what_is_too_long_for_a_part_of_an_entry_stays_to_be_seen(log: AuditLog) -> None:
    with log.path.open("ab") as file:
        file.write(b"x" * 40_000)
    log.append(deed(6))
    assert verify(log).problems == ["line 6: this is no entry as it was written"]
    assert verify(log).entries == 6


def test_several_writers_take_turns(log: AuditLog) -> None:
    others = [AuditLog(log.path, lambda: 1.0) for _ in range(4)]
    threads = [
        threading.Thread(target=lambda each=each: [each.append(deed(n)) for n in range(5)]) for each in others
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (verify(log).entries, verify(log).problems) == (25, [])


def test_a_line_cannot_be_broken_out_of(log: AuditLog) -> None:
    nasty = 'x\n{"seq":7}\r\u2028\x00\x1b[31m' + "y" * 10_000
    entry = log.append(Deed(actor=nasty, role=None, action="a", address=nasty, request_id=nasty))
    assert len(entry.actor) == LONGEST_FIELD
    assert verify(log).problems == []
    assert len(list(log.lines())) == 6


def test_each_entry_is_on_the_disk_before_it_counts(log: AuditLog, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_size))
    log.append(deed(6))
    assert synced == [log.path.stat().st_size]


def test_the_hash_of_a_state_does_not_depend_on_the_order_of_its_keys() -> None:
    assert state_hash({"a": 1, "b": 2}) == state_hash({"b": 2, "a": 1}) != state_hash({"a": 1, "b": 3})
    assert state_hash(None) is None
