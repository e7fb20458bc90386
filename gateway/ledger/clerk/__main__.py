"""The clerk itself: `python -m gateway.ledger.clerk`, started by the gateway and never by a person.

Answers one question after the other and ends when its standard input does: with the gateway, however that ended. What it
was doing then is undone by the database, or done; the next clerk is asked for it again.
"""

from __future__ import annotations

import logging
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from gateway.ledger.clerk import words
from gateway.ledger.clerk.words import Answer, Line, Move, Outdated, Recover, Task, Trouble, Unread
from gateway.ledger.moving import Moved, Moving
from gateway.ledger.rows.base import Away, Behind, Rows
from gateway.ledger.rows.opening import rows_at
from gateway.store.wire import from_json

NICE = 10
"""Calls come first: what is on disk can wait."""
_MOST_LINES = 20
"""Of one answer."""


class Heard(logging.Handler):
    """Keeps lines for the next answer: the gateway writes all logs."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: list[Line] = []
        self._usual = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one, unless there are many."""
        if len(self._lines) < _MOST_LINES:
            extra = {
                name: value if isinstance(value, int | float | str | None) else str(value)
                for name, value in vars(record).items()
                if name not in self._usual
            }
            self._lines.append(Line(record.levelno, record.getMessage(), extra))

    def taken(self) -> tuple[Line, ...]:
        """All of them, once."""
        lines, self._lines = self._lines, []
        return tuple(lines)


def answered(
    what: Move | Recover | words.Prune, moving: Moving, rows: Rows, now: Callable[[], float]
) -> Moved | Trouble | Unread | Outdated:
    """The answer to one question."""
    try:
        if isinstance(what, Move):
            return moving.move(what.segment, what.start, what.end)
        if isinstance(what, Recover):
            return moving.recover(what.segments)
        rows.prune(now())
        return Moved()
    except Away as error:
        return Trouble(str(error))
    except Behind:
        rows.close()  # the one who migrates needs the lock
        return Outdated()
    except OSError as error:
        return Unread(error.errno or 0, error.strerror or str(error))


def main() -> None:
    """Work until the gateway is gone."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(
            number, signal.SIG_IGN
        )  # they are for the gateway, which still needs its clerk to stop well
    os.nice(NICE)
    said = Heard()
    logging.basicConfig(handlers=[said], level=logging.INFO)
    task = from_json(sys.stdin.buffer.readline(), Task)
    rows = rows_at(task.place, task.kept)
    moving = Moving(Path(task.folder), rows, task.prices)
    asked: queue.SimpleQueue[words.Question] = queue.SimpleQueue()

    def listen() -> None:
        for data in sys.stdin.buffer:
            asked.put(words.question(data))
        os._exit(0)  # also while a statement waits: nobody would hear of it

    threading.Thread(target=listen, daemon=True).start()
    while True:
        question = asked.get()
        what = answered(question.what, moving, rows, time.time)
        try:
            sys.stdout.buffer.write(words.line(Answer(question.number, what, said.taken())))
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            os._exit(0)


if __name__ == "__main__":
    main()
