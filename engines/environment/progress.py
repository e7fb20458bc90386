"""Tells the operator what an installation is doing: one plain line at each new stage and every two seconds."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

Say = Callable[[str], None]
Clock = Callable[[], float]

_INTERVAL = 1.6
"""Seconds between lines. With the runner's poll of 0.25 s no silence is longer than two seconds."""

_TAIL_BYTES = 4096
_PIP_FETCHES = re.compile(r"^\s*(?:Downloading|Using cached) ([A-Za-z0-9_.]+-[^-/\s]+)", re.MULTILINE)
_NOW_UNPACKING = re.compile(r"^(?:Installing collected packages|Prepared \d+ packages?)", re.MULTILINE)


class Progress:
    """The current stage and the time since the start. ``say`` gets complete lines without a newline."""

    def __init__(self, say: Say, clock: Clock) -> None:
        self._say = say
        self._clock = clock
        self._started = clock()
        self._last_line = self._started
        self._stage = ""

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return self._clock() - self._started

    def stage(self, name: str) -> None:
        """Begin a stage and say so."""
        self._stage = name
        self._line("")

    def tick(self, detail: Callable[[], str]) -> None:
        """Repeat the stage with its present detail when it is time; ``detail`` is asked only then."""
        if self._clock() - self._last_line >= _INTERVAL:
            self._line(detail())

    def done(self, text: str) -> None:
        """Say the last line."""
        self._say(f"engine: {text}")

    def _line(self, detail: str) -> None:
        self._last_line = self._clock()
        self._say(f"engine: {self._stage}{f', {detail}' if detail else ''} ({self.elapsed:.0f} s)")


def describe_installing(log: Path, site_packages: Path, total: int) -> str:
    """Return how far an installer is: what it fetches, then how many of ``total`` distributions are there."""
    tail = _read_tail(log)
    fetched = _PIP_FETCHES.findall(tail)
    if fetched and not _NOW_UNPACKING.search(tail):
        return f"downloading {fetched[-1]}"
    there = sum(1 for _ in site_packages.glob("*.dist-info"))
    return f"{min(there, total)} of {total} distributions"


def last_lines(log: Path, count: int) -> list[str]:
    """Return the last ``count`` lines of a log that are not empty."""
    return [line for line in _read_tail(log).splitlines() if line.strip()][-count:]


def _read_tail(log: Path) -> str:
    try:
        with log.open("rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(max(0, size - _TAIL_BYTES))
            return stream.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
