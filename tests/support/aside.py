"""Work done aside that begins and ends when a test says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Work:
    """One piece of work: waiting, then begun, then told of."""

    def __init__(self, work: Callable[[], Any], done: Callable[[Any], object]) -> None:
        self._work = work
        self._done = done
        self._result: list[Any] = []
        self.is_cancelled = False

    @property
    def has_begun(self) -> bool:
        return bool(self._result)

    def cancel(self) -> None:
        self.is_cancelled = not self.has_begun

    def begin(self) -> None:
        """Do it, and say nothing yet."""
        if not self.is_cancelled:
            self._result = [self._work()]

    def tell(self) -> None:
        """Say what came of it, as late as it may be."""
        if not self.is_cancelled:
            self._done(self._result[0])


class HeldAside:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.work: list[Work] = []

    def run(self, work: Callable[[], Any], done: Callable[[Any], object]) -> Work:
        self.work.append(Work(work, done))
        return self.work[-1]

    def finish(self) -> None:
        """Do everything, in order."""
        while self.work:
            work = self.work.pop(0)
            work.begin()
            work.tell()

    def close(self) -> None:
        self.work.clear()
