"""What gateway and clerk say to each other: one JSON object a line, each question answered in its turn."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from gateway.ledger.cost import Price
from gateway.ledger.moving import Moved
from gateway.ledger.rows.base import Kept
from gateway.store.place import Place
from gateway.store.wire import to_json


class Task(Struct, frozen=True):
    """The first line: from which folder to which database."""

    folder: str
    place: Place
    kept: Kept
    prices: dict[str, Price] = msgspec.field(default_factory=dict)
    """Model → price: of calls whose gateway was killed, the clerk makes the record."""


class Move(Struct, frozen=True, tag=True):
    """See `Mover.move`."""

    segment: int
    start: int
    end: int


class Recover(Struct, frozen=True, tag=True):
    """See `Mover.recover`."""

    segments: tuple[int, ...]


class Prune(Struct, frozen=True, tag=True):
    """See `Mover.prune`."""


class Question(Struct, frozen=True):
    """`number` is in its answer too: who asked may not wait for it any more."""

    number: int
    what: Move | Recover | Prune


class Trouble(Struct, frozen=True, tag=True):
    """The database cannot be had."""

    why: str


class Unread(Struct, frozen=True, tag=True):
    """A file cannot be read or written."""

    errno: int
    why: str


class Outdated(Struct, frozen=True, tag=True):
    """The database has to be migrated first."""


class Line(Struct, frozen=True):
    """A line for the gateway's log."""

    level: int
    message: str
    extra: dict[str, Any]


class Answer(Struct, frozen=True):
    """To the question of that number."""

    number: int
    what: Moved | Trouble | Unread | Outdated
    said: tuple[Line, ...] = ()


def line(word: Task | Question | Answer) -> bytes:
    """As it is sent."""
    return to_json(word) + b"\n"


question = msgspec.json.Decoder(Question).decode
answer = msgspec.json.Decoder(Answer).decode
