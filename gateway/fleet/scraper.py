"""Asks the ready engines for their load, every one to two seconds, beside the calls and never on their path.

A page costs the engine 8 ms and more of the loop that its own answers need (vLLM 0.32), hence no more often, and not
all engines at one moment. What cannot be had, or is no page, proves nothing: the last one ages, and that is all.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Protocol

from gateway.fleet.catalog import Catalog
from gateway.fleet.endpoint import Endpoint
from gateway.fleet.load import read_load
from gateway.fleet.replica import Replica

SOONEST, LATEST = 1.0, 2.0
"""Seconds from one asking to the next, drawn anew each time: engines that start together do not stay so."""
LONGEST_ANSWER = 2.0


class Asking(Protocol):
    """A page that was asked for."""

    def close(self) -> None:
        """Give up: nothing more is told."""
        ...


Fetch = Callable[[Endpoint, str, Callable[[bytes | None], None]], Asking]
"""Ask an endpoint for the page of a path; the function is told its bytes once, `None` when there are none."""


class Scraper:
    """Keeps `Replica.load` up to date. `paths` has the page's path for each engine software that has one.

    Starts no task and has no timer: whoever owns it calls `sweep` several times a second, and `close` at the end.
    """

    def __init__(
        self,
        catalog: Catalog,
        fetch: Fetch,
        paths: Mapping[str, str],
        *,
        clock: Callable[[], float],
        rng: random.Random,
    ) -> None:
        self._catalog = catalog
        self._fetch = fetch
        self._paths = paths
        self._clock = clock
        self._rng = rng
        self._watched: dict[Replica, _Watched] = {}
        self.failures = 0
        """Askings that gave no page."""

    def __repr__(self) -> str:
        asking = sum(each.asking is not None for each in self._watched.values())
        return f"<Scraper {len(self._watched)} watched, {asking} asked>"

    def sweep(self) -> None:
        """Ask who is due, give up who takes too long, forget who is gone."""
        now = self._clock()
        ready = {
            replica: path
            for replica in self._catalog.replicas()
            if replica.is_serving() and (path := self._paths.get(replica.endpoint.engine)) is not None
        }
        for gone in [replica for replica in self._watched if replica not in ready]:
            self._watched.pop(gone).give_up()
        for replica, path in ready.items():
            watched = self._watched.get(replica)
            if watched is None:
                watched = self._watched[replica] = _Watched(now + self._rng.uniform(0.0, SOONEST))
            if watched.asking is not None and now - watched.asked_at > LONGEST_ANSWER:
                watched.give_up()
                self.failures += 1
            if watched.asking is None and now >= watched.due:
                self._ask(replica, watched, path, now)

    def close(self) -> None:
        """Give up what is asked."""
        while self._watched:
            self._watched.popitem()[1].give_up()

    def _ask(self, replica: Replica, watched: _Watched, path: str, now: float) -> None:
        watched.asked_at = now
        watched.due = now + self._rng.uniform(SOONEST, LATEST)
        watched.is_open = True

        def told(page: bytes | None) -> None:
            watched.is_open = False
            watched.asking = None
            load = None if page is None else read_load(page)
            if load is None:
                self.failures += 1
            else:
                replica.saw(load, self._clock())

        asking = self._fetch(replica.endpoint, path, told)
        if watched.is_open:
            watched.asking = asking


class _Watched:
    """One replica's place in the round."""

    __slots__ = ("asked_at", "asking", "due", "is_open")

    def __init__(self, due: float) -> None:
        self.due = due
        self.asked_at = 0.0
        self.asking: Asking | None = None
        self.is_open = False

    def give_up(self) -> None:
        """Close what is asked."""
        asking, self.asking = self.asking, None
        if asking is not None:
            asking.close()
