"""Whether an audit log is what was written: no byte changed, nothing left out, nothing added in between."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from gateway.audit.entry import FIRST, Entry, hash_of, line_of
from gateway.audit.log import AuditError, AuditLog, Head


class Verdict(NamedTuple):
    """`problems` in the order of the file, in words; empty when all is well."""

    entries: int
    head: Head
    problems: list[str]


def verify(log: AuditLog, anchors: Sequence[tuple[int, str]] = ()) -> Verdict:
    """Read all of the log and check it, against `anchors` of the log stream too. Raises `AuditError`."""
    problems: list[str] = []
    found = Head(0, FIRST)
    wanted = dict(anchors)
    try:
        kept = log.kept_head()
    except AuditError as error:
        kept = None
        problems.append(str(error))
    else:
        if kept is not None:
            wanted[kept.seq] = kept.hash
        elif log.path.exists():
            problems.append(f"{log.head_path} is missing: the end of the log may have been cut off")
    for number, line in enumerate(log.lines(), 1):
        entry = _read(line)
        if entry is None:
            problems.append(f"line {number}: this is no entry as it was written")
            continue
        if entry.hash != hash_of(entry):
            problems.append(f"line {number}: entry {entry.seq} was changed")
        if entry.seq != found.seq + 1 or entry.prev != found.hash:
            problems.append(f"line {number}: entry {entry.seq} does not follow entry {found.seq}")
        if wanted.pop(entry.seq, entry.hash) != entry.hash:
            problems.append(f"line {number}: entry {entry.seq} is not the one that was recorded elsewhere")
        found = Head(entry.seq, entry.hash)
    problems += [f"entry {seq} was recorded elsewhere and is missing" for seq in sorted(wanted)]
    return Verdict(found.seq, found, problems)


def _read(line: bytes) -> Entry | None:
    """The entry of a line, `None` when the line is not exactly what is written for one."""
    try:
        entry = msgspec.json.decode(line, type=Entry)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return entry if line_of(entry) == line else None
