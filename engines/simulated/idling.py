"""Closing connections that have been idle too long, with one timer for all of them."""

from __future__ import annotations

import asyncio
from typing import Protocol


class Idler(Protocol):
    """A connection that may be idle."""

    def close_if_idle(self) -> None:
        """Close unless a response is under way."""


class Idling:
    """The idle connections, longest idle first: a dict keeps the order in which they came."""

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        self._loop = loop
        self._seconds = seconds
        self._until: dict[Idler, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def idle(self, connection: Idler) -> None:
        """Start a connection's time; `busy` takes it back."""
        self._until[connection] = self._loop.time() + self._seconds
        if self._timer is None:
            self._arm()

    def busy(self, connection: Idler) -> None:
        """Stop a connection's time."""
        self._until.pop(connection, None)

    def stop(self) -> None:
        """Forget all."""
        self._until.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self) -> None:
        self._timer = self._loop.call_at(next(iter(self._until.values())), self._sweep)

    def _sweep(self) -> None:
        self._timer = None
        now = self._loop.time()
        for connection, until in list(self._until.items()):
            if until > now:
                break
            del self._until[connection]
            connection.close_if_idle()
        if self._until:
            self._arm()
