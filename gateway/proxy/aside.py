"""Work that would hold up the event loop for too long, done aside: large bodies are read so.

One thread, because what it does is Python: a second would only take turns with the first, and with the loop. What
waits for it is bounded by the calls that live, each of which holds its own body anyway; the work of a call that is over
is dropped before it begins.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol, TypeVar

T = TypeVar("T")


class Cancellable(Protocol):
    """Work that was asked for."""

    def cancel(self) -> object:
        """Do not begin it. What has begun goes on, and its result is still told."""
        ...


class Aside(Protocol):
    """Does work somewhere else and says on the event loop what came of it."""

    def run(self, work: Callable[[], T], done: Callable[[T], object]) -> Cancellable | None:
        """Call `work`, which does not raise, then `done` with its result; `None` when that has already happened."""
        ...

    def close(self) -> None:
        """Begin nothing more."""
        ...


class AtOnce:
    """Does it at once, on the spot: where nothing else waits, as in a simulation."""

    def run(self, work: Callable[[], T], done: Callable[[T], object]) -> None:
        """See `Aside.run`."""
        done(work())

    def close(self) -> None:
        """See `Aside.close`."""


class OneThread:
    """Does it in one thread, one after the other. The thread is started by the first work."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="aside")

    def run(self, work: Callable[[], T], done: Callable[[T], object]) -> Cancellable:
        """See `Aside.run`. To be called on the event loop."""
        loop = asyncio.get_running_loop()

        def tell(future: Future[T]) -> None:
            if not future.cancelled():
                with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is there to be told
                    loop.call_soon_threadsafe(done, future.result())

        future = self._executor.submit(work)
        future.add_done_callback(tell)
        return future

    def close(self) -> None:
        """Begin nothing more. What has begun ends soon: it is bounded by the size of a body."""
        self._executor.shutdown(wait=False, cancel_futures=True)


_: tuple[type[Aside], ...] = (AtOnce, OneThread)
