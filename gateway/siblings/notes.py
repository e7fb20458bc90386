"""What each gateway process of a service tells the others of itself: a small file in their folder, new every second.

Whoever is asked about the whole service reads the notes of all: nobody waits for a sibling that hangs, and what it counted
is not lost with it. The parent keeps the sums of those that ended. Times are those of the machine's monotonic clock, which is one
for all its processes.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from gateway.siblings.figures import Figures, cumulative, merged

EVERY = 1.0
"""Seconds between two notes of a process."""
STALE = 5.0
"""Seconds after which a process that lives and left no new note is taken to hang."""
_SUFFIX = ".note"
_FORMER = "former"
_TRIES = 5


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """One process at a moment."""

    seat: int
    pid: int
    at: float
    is_joining: bool = False
    """It takes no connection of clients yet."""
    is_leaving: bool = False
    """Another takes its seat: it finishes what it has, and takes no new connection."""
    reason: str | None = None
    """Why it is not ready; `None` when it is."""
    detail: dict[str, Any] = {}
    """What `/readyz` tells operators."""
    drained: tuple[str, ...] = ()
    """Replicas that an operator drained."""
    figures: tuple[Figures, ...] = ()

    @property
    def name(self) -> str:
        """Unlike that of any other process that lives or lived in this service."""
        return f"{self.seat}-{self.pid}"


class Former(msgspec.Struct, frozen=True, kw_only=True):
    """The sums of the processes that ended, and their names."""

    names: tuple[str, ...] = ()
    figures: tuple[Figures, ...] = ()


class Told(NamedTuple):
    """All that is known of the processes of a service."""

    notes: list[Note]
    """Of those that live, by seat."""
    former: Former


_encode = msgspec.msgpack.Encoder().encode
_note = msgspec.msgpack.Decoder(Note).decode
_former = msgspec.msgpack.Decoder(Former).decode


def socket_of(folder: Path, name: str) -> Path:
    """Where the process of that name answers its siblings."""
    return folder / f"{name}.sock"


def leave(folder: Path, note: Note) -> None:
    """Put `note` in the place of the one before. Raises `OSError`."""
    _replace(folder / f"{note.name}{_SUFFIX}", _encode(note))


def told(folder: Path) -> Told:
    """All notes. One that is being folded meanwhile is in what is told once: as a note, or in the sums."""
    for _ in range(_TRIES):
        former = _read_former(folder)
        notes: list[Note] = []
        try:
            for path in sorted(folder.glob(f"*{_SUFFIX}")):
                note = _read(path)
                if note is not None and note.name not in former.names:
                    notes.append(note)
        except FileNotFoundError:  # folded between the two looks
            continue
        return Told(sorted(notes, key=lambda each: (each.seat, each.at)), former)
    return Told([], Former())


def fold(folder: Path, name: str) -> None:
    """A process of that name has ended: keep what it counted, remove what it left. Only the parent does this."""
    path = folder / f"{name}{_SUFFIX}"
    with suppress(OSError, msgspec.DecodeError):
        note, former = _note(path.read_bytes()), _read_former(folder)
        if name not in former.names:
            figures = tuple(merged([former.figures, cumulative(note.figures)]))
            _replace(
                folder / _FORMER, _encode(Former(names=(*former.names, name)[-_MOST_NAMES:], figures=figures))
            )
    path.unlink(missing_ok=True)
    socket_of(folder, name).unlink(missing_ok=True)


_MOST_NAMES = 100
"""Names of processes that ended: needed for the moment between their sums' being kept and their notes' being removed."""


def prepare(folder: Path) -> None:
    """Make the folder, with nothing of an earlier service in it. Raises `OSError`."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path in folder.iterdir():
        path.unlink(missing_ok=True)


def figures_of(processes: Sequence[Sequence[Figures]], former: Former) -> list[Figures]:
    """The service's figures: those of the processes that live, and what those that ended had counted."""
    return merged([*processes, former.figures])


def _read(path: Path) -> Note | None:
    try:
        return _note(path.read_bytes())
    except msgspec.DecodeError:  # of another version of the program, while one replaces the other
        return None


def _read_former(folder: Path) -> Former:
    try:
        return _former((folder / _FORMER).read_bytes())
    except (FileNotFoundError, msgspec.DecodeError):
        return Former()


def _replace(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}")
    temporary.write_bytes(data)
    temporary.replace(path)
