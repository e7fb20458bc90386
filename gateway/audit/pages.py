"""The audit log from its end, a page at a time.

A line never moves, so where the last one of a page begins is where the next page ends, whatever was appended since.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import NamedTuple

import msgspec

from gateway.audit.entry import Entry
from gateway.audit.log import AuditError, AuditLog, torn_end

MOST_LINES = 10_000
"""Looked at for one page."""
_BLOCK = 64 * 1024


class Page(NamedTuple):
    """Entries, newest first. `next` is where to go on, `None` at the beginning of the log."""

    entries: list[Entry]
    unreadable: int
    """Lines among them that are no entry: the log was damaged."""
    next: int | None


class NoSuchPlace(ValueError):
    """No line of the log begins there."""


def page(
    log: AuditLog,
    wanted: Callable[[Entry], bool],
    *,
    limit: int,
    before: int | None = None,
    most_lines: int = MOST_LINES,
) -> Page:
    """The last `limit` entries that are `wanted`, of those in front of `before`; fewer where that takes long to find.

    Raises `NoSuchPlace`, and `AuditError`. It does I/O: beside the event loop, please.
    """
    try:
        descriptor = os.open(log.path, os.O_RDONLY)
    except FileNotFoundError:
        if before is not None:
            raise NoSuchPlace from None
        return Page([], 0, None)
    except OSError as error:
        raise _unreadable(log, error) from error
    try:
        end, _ = torn_end(descriptor)
        if before is not None:
            if not 0 < before <= end or os.pread(descriptor, 1, before - 1) != b"\n":
                raise NoSuchPlace
            end = before
        return _page(descriptor, end, wanted, limit, most_lines)
    except OSError as error:
        raise _unreadable(log, error) from error
    finally:
        os.close(descriptor)


def _page(descriptor: int, end: int, wanted: Callable[[Entry], bool], limit: int, most_lines: int) -> Page:
    found: list[Entry] = []
    unreadable = 0
    for number, (place, line) in enumerate(_backwards(descriptor, end), 1):
        try:
            entry = msgspec.json.decode(line, type=Entry)
        except (msgspec.DecodeError, UnicodeDecodeError):
            unreadable += 1
        else:
            if wanted(entry):
                found.append(entry)
        if len(found) == limit or number == most_lines:
            return Page(found, unreadable, place or None)
    return Page(found, unreadable, None)


def _backwards(descriptor: int, end: int) -> Iterator[tuple[int, bytes]]:
    """The lines in front of `end`, which is behind a line end, last first, and where each begins."""
    rest = b""
    while end:
        # A line of any length is read in as many steps as its length has digits.
        start = max(0, end - max(_BLOCK, len(rest)))
        block = os.pread(descriptor, end - start, start) + rest
        if not block:  # taken back meanwhile: the disk was full
            return
        first, *lines = block.split(b"\n")[:-1]
        place = start + len(block)
        for line in reversed(lines):
            place -= len(line) + 1
            yield place, line
        if not start:
            yield 0, first
        rest = first + b"\n"
        end = start


def _unreadable(log: AuditLog, error: OSError) -> AuditError:
    return AuditError(f"cannot read {log.path}: {error.strerror}")
