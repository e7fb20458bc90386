"""The audit log from its end: every entry once, newest first, whatever is appended meanwhile."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.audit import AuditLog, Deed, Entry
from gateway.audit.pages import NoSuchPlace, page


def log_of(folder: Path, number: int) -> AuditLog:
    made = AuditLog(folder / "audit.jsonl", lambda: 1.0)
    for each in range(number):
        made.append(Deed(actor=f"a{each % 3}", role="admin", action="keys.create", object="x" * (each % 7)))
    return made


def everything(_: Entry) -> bool:
    return True


def seqs(log: AuditLog, limit: int, *, appending: int = 0, most_lines: int = 10_000) -> list[list[int]]:
    pages, before = [], None
    while True:
        found = page(log, everything, limit=limit, before=before, most_lines=most_lines)
        pages.append([entry.seq for entry in found.entries])
        if found.next is None:
            return pages
        before = found.next
        for _ in range(appending):
            log.append(Deed(actor="late", role=None, action="keys.delete"))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    number=st.integers(0, 12), limit=st.integers(1, 5), appending=st.integers(0, 2), block=st.integers(1, 900)
)
def test_each_entry_is_on_one_page_newest_first(
    tmp_path_factory: pytest.TempPathFactory, number: int, limit: int, appending: int, block: int
) -> None:
    """Wherever the blocks end in which the file is read."""
    log = log_of(tmp_path_factory.mktemp("data"), number)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gateway.audit.pages._BLOCK", block)
        pages = seqs(log, limit, appending=appending)
    assert sum(pages, []) == list(range(number, 0, -1))  # noqa: RUF017 - a few numbers
    assert all(len(each) == limit for each in pages[:-1])


def test_a_page_looks_at_so_many_lines_and_says_where_to_go_on(tmp_path: Path) -> None:
    log = log_of(tmp_path, 7)
    assert seqs(log, 100, most_lines=3) == [[7, 6, 5], [4, 3, 2], [1]]
    nobody = page(log, lambda entry: entry.seq == 1, limit=5, most_lines=3)
    assert (nobody.entries, nobody.next is None) == ([], False)


def test_a_line_that_is_no_entry_is_counted_and_half_a_one_is_not_there_yet(tmp_path: Path) -> None:
    log = log_of(tmp_path, 3)
    with log.path.open("ab") as file:
        file.write(b"\xff" * 200_000 + b'\n{"seq":4}\n{"seq":4,"at')
    found = page(log, everything, limit=10)
    assert ([entry.seq for entry in found.entries], found.unreadable, found.next) == ([3, 2, 1], 2, None)


def test_a_place_where_no_line_begins_is_refused(tmp_path: Path) -> None:
    log = log_of(tmp_path, 2)
    size = log.path.stat().st_size
    for place in (0, 1, size - 1, size + 1, 10**15):
        with pytest.raises(NoSuchPlace):
            page(log, everything, limit=1, before=place)
    with pytest.raises(NoSuchPlace):
        page(AuditLog(tmp_path / "none", lambda: 1.0), everything, limit=1, before=5)


def test_a_log_that_is_not_there_yet_is_empty(tmp_path: Path) -> None:
    assert page(AuditLog(tmp_path / "none", lambda: 1.0), everything, limit=1) == ([], 0, None)
