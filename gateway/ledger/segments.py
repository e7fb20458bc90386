"""The spool's files: their names, and what is in them."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import NamedTuple

import msgspec

from gateway.ledger.frames import HEAD_BYTES, scan
from gateway.ledger.records import Record, decode, is_before_the_end

log = logging.getLogger(__name__)

_SUFFIX = ".seg"
TORN = "torn"
"""The folder for bytes that were no records."""
_MOST_TORN = 32
_MOST_TORN_BYTES = 1024 * 1024


class Read(NamedTuple):
    """What a file holds between two places."""

    records: list[Record]
    torn: int
    """Bytes that are no records: the end of a write that a crash cut short, or damage."""


def path_of(folder: Path, number: int) -> Path:
    """The file of segment `number`."""
    return folder / f"{number:012d}{_SUFFIX}"


def numbers(folder: Path) -> list[int]:
    """The segments in `folder`, oldest first."""
    return sorted(
        int(path.name.removesuffix(_SUFFIX))
        for path in folder.glob(f"*{_SUFFIX}")
        if path.name.removesuffix(_SUFFIX).isdigit()
    )


def read(
    folder: Path, number: int, start: int = 0, end: int | None = None, *, only_ended: bool = False
) -> Read:
    """The records of a segment between two places; what is none is kept aside and told of. Raises `OSError`.

    A segment that is not there holds nothing. With `only_ended`, records of other kinds are left out.
    """
    try:
        with path_of(folder, number).open("rb") as file:
            file.seek(start)
            data = file.read(-1 if end is None else end - start)
    except FileNotFoundError:
        return Read([], 0)
    found = scan(data)
    records: list[Record] = []
    bad = list(found.bad)
    for each in found.frames:
        if only_ended and is_before_the_end(each.payload):
            continue
        try:
            records.append(decode(each.payload))
        except msgspec.DecodeError:  # whole, and no record of ours: from a newer program
            bad.append((each.end - HEAD_BYTES - len(each.payload), each.end))
    for begin, stop in bad:
        _keep_aside(folder, f"{number:012d}-{start + begin}", data[begin:stop])
    return Read(records, sum(stop - begin for begin, stop in bad))


def _keep_aside(folder: Path, name: str, data: bytes) -> None:
    log.error("the ledger's spool holds bytes that are no record", extra={"at": name, "bytes": len(data)})
    try:
        aside = folder / TORN
        aside.mkdir(mode=0o700, exist_ok=True)
        (aside / name).write_bytes(data[:_MOST_TORN_BYTES])
        for old in sorted(aside.iterdir(), key=os.path.getmtime)[:-_MOST_TORN]:
            old.unlink()
    except OSError as error:
        log.warning("they could not be kept aside", extra={"at": name, "error": str(error)})
