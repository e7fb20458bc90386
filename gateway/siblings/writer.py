"""Leaves this process's notes for its siblings, and says how all of them stand."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from prometheus_client import CollectorRegistry

from gateway.siblings import figures, notes
from gateway.siblings.notes import Note
from gateway.siblings.readiness import Readiness, together

log = logging.getLogger(__name__)


class Stand(NamedTuple):
    """What a process says of itself beside its figures."""

    reason: str | None
    detail: dict[str, Any]
    drained: tuple[str, ...]


class Writer:
    """The notes of the process `pid` on `seat`. `clock` gives the machine's monotonic seconds.

    `stand` is asked on the event loop; the figures are read from `registry`, and the file is written, in a thread.
    """

    def __init__(
        self,
        folder: Path,
        *,
        seat: int,
        pid: int,
        registry: CollectorRegistry,
        stand: Callable[[], Stand],
        clock: Callable[[], float],
    ) -> None:
        self.folder = folder
        self.name = f"{seat}-{pid}"
        """See `Note.name`."""
        self.is_joining = True
        """See `Note`; until its owner says otherwise."""
        self.is_leaving = False
        self._seat = seat
        self._pid = pid
        self._registry = registry
        self._stand = stand
        self._clock = clock

    async def run(self) -> None:
        """Leave a note every `EVERY` seconds, until cancelled."""
        while True:
            await self.leave()
            await asyncio.sleep(notes.EVERY)

    async def leave(self) -> None:
        """Leave a note now. A disk that takes none is told of: the siblings say soon that they do not hear of us."""
        note = self._note()
        try:
            await asyncio.to_thread(self._write, note)
        except OSError as error:
            log.warning("no note for the other processes", extra={"error": error.strerror or str(error)})

    async def together(self, reason: str | None, detail: dict[str, Any], seats: int) -> Readiness:
        """How the service of so many seats stands, of which `reason` and `detail` are this process's part."""
        told = await asyncio.to_thread(notes.told, self.folder)
        now = self._clock()
        own = Note(
            seat=self._seat, pid=self._pid, at=now, is_leaving=self.is_leaving, reason=reason, detail=detail
        )
        return together(own, [note for note in told.notes if note.name != self.name], seats, now)

    def _note(self) -> Note:
        stand = self._stand()
        return Note(
            seat=self._seat,
            pid=self._pid,
            at=self._clock(),
            is_joining=self.is_joining,
            is_leaving=self.is_leaving,
            reason=stand.reason,
            detail=stand.detail,
            drained=stand.drained,
        )

    def _write(self, note: Note) -> None:
        found = tuple(figures.read(self._registry.collect()))
        notes.leave(self.folder, msgspec.structs.replace(note, figures=found))
