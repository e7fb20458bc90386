"""Discovery of the workers that the local engine supervisor runs, through the roster it publishes.

The file is replaced whole on each change, so a look at its inode and times four times a second is enough, and works the
same whoever started first and however often either side restarts.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from engines import roster
from engines.roster import RosterError, WorkerRecord, WorkerStatus, read
from gateway.fleet.discovery.base import Publish
from gateway.fleet.endpoint import (
    Condition,
    Endpoint,
    Published,
    Sighting,
    UnixAddress,
    parse_address,
    parse_socket,
)

LOOK_EVERY = 0.25
IDLE_SECONDS = 60.0
"""Workers are started with a keep-alive of 75 s (`engines.launch`): ours is shorter, so that we close first."""

_CONDITIONS: Mapping[WorkerStatus, Condition] = {
    WorkerStatus.WAITING: Condition.STARTING,
    WorkerStatus.STARTING: Condition.STARTING,
    WorkerStatus.READY: Condition.READY,
    WorkerStatus.DRAINING: Condition.DRAINING,
    WorkerStatus.STOPPED: Condition.DOWN,
    WorkerStatus.FAILED: Condition.DOWN,
}

_NOWHERE = UnixAddress("")
"""Where a worker is that was never started: it is known, for its models to be, and never sent anything."""

log = logging.getLogger(__name__)


class RosterDiscovery:
    """Follows the roster file at `path`."""

    name = "engines"

    def __init__(self, path: Path, *, wall_clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._wall_clock = wall_clock
        self._seen: tuple[int, int, int] | None = None
        self._trouble: str | None = None

    async def watch(self, publish: Publish) -> None:
        """Publish the roster now and whenever it is replaced. Never returns."""
        while True:
            self.look(publish)
            await asyncio.sleep(LOOK_EVERY)

    def look(self, publish: Publish) -> None:
        """Publish the roster if it is not the one last seen."""
        try:
            stat = self._path.stat()
            mark = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
            if mark == self._seen:
                return
            found = read(self._path)
            sightings = [self._sighting(worker) for worker in found.workers] if found else []
        except FileNotFoundError:
            return
        except (OSError, RosterError, ValueError) as error:
            self._report(str(error))
            return
        self._seen = mark
        self._trouble = None
        publish(sightings)

    def _sighting(self, worker: WorkerRecord) -> Sighting:
        ready_in = None if worker.ready_at is None else max(1.0, worker.ready_at - self._wall_clock())
        return Sighting(endpoint_of(worker), _CONDITIONS[worker.status], ready_in)

    def _report(self, trouble: str) -> None:
        """Log a trouble once, not four times a second."""
        if trouble != self._trouble:
            self._trouble = trouble
            log.warning("engine roster unreadable, keeping what was last seen", extra={"error": trouble})


def endpoint_of(worker: WorkerRecord) -> Endpoint:
    """The endpoint that a published worker is."""
    return Endpoint(
        id=worker.id,
        address=parse_address(worker.address) if worker.address else _NOWHERE,
        engine=worker.engine,
        models=tuple(worker.models.items()),
        api_key=worker.api_key,
        max_in_flight=worker.max_in_flight,
        idle_seconds=IDLE_SECONDS,
        published=None if worker.published is None else _published(worker.published),
    )


def _published(at: roster.Published) -> Published:
    return Published(parse_socket(at.events), parse_socket(at.replay), at.tokenizer)
