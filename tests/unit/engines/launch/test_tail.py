from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.launch.tail import KEPT_LINES, LONGEST_LINE, LineSplitter, LogFile, Tail


def split(*chunks: bytes) -> list[str]:
    splitter = LineSplitter()
    return [line for chunk in (*chunks, b"") for line in splitter.feed(chunk)]


def test_line_ends_of_every_kind_and_no_empty_lines():
    assert split(b"a\nb\r\n\n 0%\r50%\r100%\nend") == ["a", "b", " 0%", "50%", "100%", "end"]


def test_colours_and_bad_bytes_are_made_readable():
    assert split(b"\x1b[31mred\x1b[0m \xff\n") == ["red \ufffd"]


@given(st.lists(st.sampled_from([b"a", "é".encode(), b"\r", b"\n", b"\r\n", b"long word"])), st.data())
def test_the_same_lines_however_the_bytes_are_split(parts: list[bytes], data: st.DataObject):
    whole = b"".join(parts)
    at = data.draw(st.integers(0, len(whole)))
    chunks = [chunk for chunk in (whole[:at], whole[at:]) if chunk]
    assert split(*chunks) == split(*([whole] if whole else []))


def test_a_line_without_an_end_cannot_fill_the_memory():
    splitter = LineSplitter()
    lines = [line for _ in range(100) for line in splitter.feed(b"x" * LONGEST_LINE)]
    assert lines
    assert max(map(len, lines)) < LONGEST_LINE + 50
    assert lines[0].endswith("more characters]")


def test_only_the_last_lines_are_kept():
    tail = Tail()
    for number in range(KEPT_LINES + 3):
        tail.add(str(number))
    assert tail.lines() == tuple(str(number) for number in range(3, KEPT_LINES + 3))


def test_the_log_file_is_bounded_by_one_rotation(tmp_path: Path):
    path = tmp_path / "logs" / "w.log"
    log = LogFile(path, on_trouble=pytest.fail, limit_bytes=10)
    for line in ("1234", "5678", "9"):
        log.add(line)
    log.close()
    assert path.read_text() == "9\n"
    assert (path.parent / "w.log.1").read_text() == "1234\n5678\n"


def test_a_full_disk_is_told_once_and_ends_nothing(tmp_path: Path):
    (tmp_path / "w.log").symlink_to("/dev/full")
    told: list[str] = []
    log = LogFile(tmp_path / "w.log", on_trouble=told.append)
    log.add("a line")
    log.add("another")
    log.close()
    assert len(told) == 1
    assert "No space left" in told[0]
