"""The keys of an issuer over time: from a file, or fetched in the background and kept on disk for when it is away."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

from gateway.auth.jwt.keyset import KeySet, UnusableKeySet, key_set
from gateway.auth.private import KeyFileError, read_private, replace

REFRESH_EVERY = 300.0
"""Seconds between two looks at keys that nobody misses."""
LEAST_PAUSE = 10.0
"""Seconds between two looks, however many tokens name a key that is not there."""

log = logging.getLogger(__name__)

Fetch = Callable[[], Awaitable[bytes]]


class IssuerKeys:
    """What is known of one issuer's keys. `current` is `None` until they were had for the first time."""

    def __init__(
        self,
        issuer: str,
        algorithms: frozenset[str],
        fetch: Fetch,
        *,
        cache: Path | None = None,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        """`fetch` gets the document, in bounded time. `cache` keeps it; what it holds counts until the first answer."""
        self._issuer = issuer
        self._algorithms = algorithms
        self._fetch = fetch
        self._cache = cache
        self.on_change = on_change
        self._raw: bytes | None = None
        self._asked = asyncio.Event()
        self.current: KeySet | None = None
        self.problem: str | None = None
        """Why there is no key, or none newer, since the last look; `None` when it brought some."""
        self.fetches = 0
        self._take_cached()

    def __repr__(self) -> str:
        held = "none" if self.current is None else len(self.current.keys)
        return f"<IssuerKeys {self._issuer}: {held}{f', {self.problem}' if self.problem else ''}>"

    def ask(self) -> None:
        """A token names a key that is not known: look again, when `LEAST_PAUSE` since the last look has passed."""
        self._asked.set()

    async def follow(self) -> None:
        """Keep up with the issuer, for ever."""
        while True:
            await self.refresh()
            await asyncio.sleep(LEAST_PAUSE)
            if self.problem is None:
                with suppress(TimeoutError):
                    async with asyncio.timeout(REFRESH_EVERY - LEAST_PAUSE):
                        await self._asked.wait()
            self._asked.clear()

    async def refresh(self) -> None:
        """Look once. What cannot be had, or is no key set, leaves the former keys as they are, and `problem` says why.

        A key set without a key of use to us withdraws them all: so an issuer says that its keys are lost to others.
        """
        self.fetches += 1
        before = self.problem
        try:
            raw = await self._fetch()
            self.take(raw)
        except UnusableKeySet as error:
            self.problem = str(error)
        except Exception as error:  # noqa: BLE001 - the edge to a foreign server: whatever it does, we go on
            self.problem = f"{type(error).__name__}: {error}"
        else:
            self.problem = self.lack
        if self.problem is not None and self.problem != before:
            log.warning("keys of an issuer not had", extra={"issuer": self._issuer, "error": self.problem})

    def take(self, raw: bytes) -> None:
        """Use the keys of this document from now on. Raises `UnusableKeySet`."""
        if raw == self._raw:
            return
        self.current = key_set(raw, self._algorithms)
        self._raw = raw
        self.on_change()
        if self._cache is not None:
            try:
                self._cache.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                replace(self._cache, raw)
            except (KeyFileError, OSError) as error:
                log.warning("keys of an issuer not kept", extra={"issuer": self._issuer, "error": str(error)})

    @property
    def lack(self) -> str | None:
        """Why the key set there is has no key for us; `None` when it has some, and where there is none."""
        if self.current is None or self.current.keys:
            return None
        return f"none of its keys can be used for {', '.join(sorted(self._algorithms))}"

    def _take_cached(self) -> None:
        if self._cache is None:
            return
        try:
            raw = read_private(self._cache)
            if raw is not None:
                self.current, self._raw = key_set(raw, self._algorithms), raw
        except (KeyFileError, UnusableKeySet) as error:
            self.problem = str(error)
