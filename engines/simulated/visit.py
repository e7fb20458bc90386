"""One request on its way to an answer, and what the whole engine has from outside."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from engines.simulated import asks
from engines.simulated.connection import Connection, Request
from engines.simulated.journal import Record
from engines.simulated.script import Fault
from engines.simulated.ticker import Timers
from engines.simulated.wires import Wire


@dataclass(frozen=True, slots=True)
class World:
    """What the engine has from outside."""

    timers: Timers
    wall_clock: Callable[[], float]
    rng: random.Random
    die: Callable[[int], None]


@dataclass(slots=True)
class Visit:
    """One request, its connection, its place in the log, and where its answer goes."""

    request: Request
    connection: Connection
    record: Record
    fault: Fault | None
    wire: Wire

    def json(self) -> Any:
        """Give the body. Raises `Refused` and `Unreadable`."""
        kind = self.request.headers.get(b"content-type", b"")
        if kind != b"application/json" and kind.partition(b";")[0].strip().lower() != b"application/json":
            raise asks.wrong_content_type()
        return asks.decode(self.request.body)

    def reply_json(self, value: object, at: float) -> None:
        """Answer with `value`; `at` is the time."""
        self.record.close("finished", at)
        self.wire.reply(200, msgspec.json.encode(value))
