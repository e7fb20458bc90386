"""What the gateway caught at its own outermost edges and wrote to its log: a bug each."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from gateway.proxy.asgi import BrokenStream
from simulation.actors.history import History


class _Errors(logging.Handler):
    """Notes what the gateway logs with a traceback: it caught a bug of its own at its outermost edge."""

    def __init__(self, history: History) -> None:
        super().__init__(logging.ERROR)
        self._history = history

    def emit(self, record: logging.LogRecord) -> None:
        """Note it, unless it is the plain driver's way of closing a connection, or uvicorn's of ending it in time."""
        error = record.exc_info[1] if record.exc_info else None
        if error is not None and not isinstance(error, BrokenStream | asyncio.CancelledError):
            self._history.problems.append(("I1", f"was logged: {record.getMessage()}: {error!r}"))


@contextmanager
def errors_noted(history: History) -> Iterator[None]:
    """What the gateway and its server log goes to the history, and nowhere else."""
    loggers = [logging.getLogger(name) for name in ("gateway", "uvicorn")]
    former = [(logger.handlers, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.handlers, logger.propagate = [_Errors(history)], False
    try:
        yield
    finally:
        for logger, (handlers, propagate) in zip(loggers, former, strict=True):
            logger.handlers, logger.propagate = handlers, propagate
