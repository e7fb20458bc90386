"""How many gateways share the counts, kept on disk for one that starts while the server is away.

The most of the last day counts: gateways that stop one after another for the night are few at the end, and all of them
start again.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

FORGOTTEN_S: Final = 86_400.0
_REFRESH_S: Final = 3600.0
_MOST: Final = 10_000

log = logging.getLogger(__name__)


class Census:
    """The number in the file at `path`. `wall` gives Unix seconds, `expected` is what the operator says, if anything."""

    def __init__(self, path: Path, *, expected: int | None, wall: Callable[[], float]) -> None:
        self._path: Final = path
        self._expected: Final = expected
        self._wall: Final = wall
        self._gateways, self._at = self._read()
        self._writing: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        return f"<Census {self.gateways()} gateways>"

    def gateways(self) -> int:
        """How many there are until the server says so: as configured, else as last kept, else this one."""
        return self._gateways if self._expected is None else self._expected

    def note(self, gateways: int) -> None:
        """The server says that there are so many. Written beside the event loop, and not at every beat."""
        if self._writing is not None and not self._writing.done():
            return
        passed = self._wall() - self._at
        is_news = gateways > self._gateways or (gateways == self._gateways and passed > _REFRESH_S)
        if is_news or not 0 <= passed < FORGOTTEN_S:
            self._gateways, self._at = gateways, self._wall()
            self._writing = asyncio.get_running_loop().run_in_executor(None, self._write, gateways, self._at)

    def _read(self) -> tuple[int, float]:
        try:
            found = json.loads(self._path.read_bytes())
            gateways, at = int(found["gateways"]), float(found["at"])
        except (OSError, ValueError, TypeError, KeyError, OverflowError):
            return 1, 0.0
        return (gateways, at) if 1 <= gateways <= _MOST else (1, 0.0)

    def _write(self, gateways: int, at: float) -> None:
        try:
            fresh = self._path.with_suffix(f".{os.getpid()}.new")  # workers may share the folder
            fresh.write_text(json.dumps({"gateways": gateways, "at": at}), encoding="utf-8")
            fresh.replace(self._path)
        except OSError as error:
            log.warning("the number of gateways was not kept", extra={"error": str(error)})
