"""Counts calls that nobody known made, so that they cannot fill a disk with entries."""

from __future__ import annotations

from collections.abc import Callable

_SECONDS = 60.0
_MOST_ADDRESSES = 1024


class UnknownCallers:
    """Which refusals are written down: one a minute and address. `clock` gives seconds of any origin."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._seen: dict[str | None, tuple[float, int]] = {}
        """Address → when its last entry was written, and refusals since. Oldest entry first."""

    def count(self, address: str | None) -> int | None:
        """Count a refusal. `None` when it is not written down; else how many were not since the entry before.

        Beyond 1,024 addresses within a minute the further ones count as one.
        """
        now = self._clock()
        if address not in self._seen and len(self._seen) >= _MOST_ADDRESSES:
            self._forget(now)
            if len(self._seen) >= _MOST_ADDRESSES:
                address = None
        at, kept_back = self._seen.get(address, (None, 0))
        if at is not None and now - at < _SECONDS:
            self._seen[address] = (at, kept_back + 1)
            return None
        self._seen.pop(address, None)
        self._seen[address] = (now, 0)
        return kept_back

    def _forget(self, now: float) -> None:
        while self._seen:
            address, (at, _) = next(iter(self._seen.items()))
            if now - at < _SECONDS:
                return
            del self._seen[address]
