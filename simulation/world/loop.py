"""An asyncio event loop on virtual time: nothing sleeps, nothing polls, time jumps to the next thing that is due.

The real code runs on it unchanged - tasks, timeouts, transports. What is due at one moment happens in the order in which
it was asked for. Work for an executor is done in place and its result arrives later, as it would from a thread.
"""

from __future__ import annotations

import asyncio
import heapq
from asyncio import events
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVarTuple

if TYPE_CHECKING:
    from concurrent.futures import Executor
    from contextvars import Context

    from simulation.world.network import Network

_Ts = TypeVarTuple("_Ts")

START = 1000.0
"""The first moment, in seconds: not zero, which code may take for "never"."""
EXECUTOR_SECONDS = 0.003
"""How long work for an executor takes."""
MAX_STEPS = 2_000_000
"""More callbacks than this in one simulation go round in circles."""


class Livelock(Exception):
    """Callbacks without end."""


class VirtualLoop(asyncio.BaseEventLoop):
    """Use `run`, not `run_forever`. Connections are made through `network`, to be set before the first one."""

    network: Network

    def __init__(self, *, most_steps: int = MAX_STEPS) -> None:
        super().__init__()
        self._most_steps = most_steps
        self.set_debug(False)  # whatever the environment says: a debugging loop measures real time
        self._now = START
        self._due: deque[asyncio.Handle] = deque()
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._sequence = 0
        self._steps = 0
        self.complaints: list[str] = []
        """What was raised in callbacks and tasks, and by nobody caught."""
        self.set_exception_handler(_complain)

    def time(self) -> float:
        """Virtual monotonic seconds."""
        return self._now

    def call_soon(
        self, callback: Callable[[*_Ts], object], *args: *_Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """See `asyncio`."""
        handle = asyncio.Handle(callback, args, self, context)
        self._due.append(handle)
        return handle

    def call_soon_threadsafe(
        self, callback: Callable[[*_Ts], object], *args: *_Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """There are no threads: see `call_soon`."""
        return self.call_soon(callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[*_Ts], object],
        *args: *_Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """See `asyncio`. Timers of one moment fire in the order in which they were set."""
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self._sequence += 1
        heapq.heappush(self._timers, (when, self._sequence, handle))
        return handle

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*_Ts], Any], *args: *_Ts
    ) -> asyncio.Future[Any]:
        """Do the work when its time is over; `executor` has no part in it."""
        del executor
        future = self.create_future()

        def work() -> None:
            if future.cancelled():
                return
            try:
                result = func(*args)
            except Exception as error:  # noqa: BLE001 - whoever awaits the future is told
                future.set_exception(error)
            else:
                future.set_result(result)

        self.call_later(EXECUTOR_SECONDS, work)
        return future

    async def create_connection(
        self, protocol_factory: Any, host: Any = None, port: Any = None, **_: Any
    ) -> Any:
        """Connect to `host`:`port` in the simulated network."""
        return await self.network.connect(protocol_factory, f"{host}:{port}")

    async def create_unix_connection(self, protocol_factory: Any, path: Any = None, **_: Any) -> Any:
        """Connect to the socket at `path` in the simulated network."""
        return await self.network.connect(protocol_factory, f"unix:{path}")

    def run(self, until: float) -> None:
        """Let everything happen that is due by `until`. Raises `Livelock`."""
        events._set_running_loop(self)  # noqa: SLF001 - asyncio gives it to authors of event loops, by this name
        try:
            while True:
                while self._due:
                    self._step(self._due.popleft())
                if not self._timers or self._timers[0][0] > until:
                    break
                when, _, handle = heapq.heappop(self._timers)
                self._now = max(self._now, when)
                self._step(handle)
            self._now = max(self._now, until)
        finally:
            events._set_running_loop(None)  # noqa: SLF001 - as above

    def pending(self) -> list[tuple[float, str]]:
        """When and what, by its full name: every timer that is still set."""
        return [
            (when, _name(handle._callback))  # type: ignore[attr-defined]  # noqa: SLF001 - there is no other way to ask
            for when, _, handle in sorted(self._timers, key=_order)
            if not handle.cancelled()
        ]

    def _step(self, handle: asyncio.Handle) -> None:
        if handle.cancelled():
            return
        self._steps += 1
        if self._steps > self._most_steps:
            raise Livelock(f"more than {self._most_steps} callbacks, the next is {handle!r}")
        handle._run()  # noqa: SLF001 - what an event loop does with its handles


def _name(callback: object) -> str:
    callback = getattr(callback, "func", callback)  # of a partial
    return f"{getattr(callback, '__module__', '?')}.{getattr(callback, '__qualname__', repr(callback))}"


def _order(timer: tuple[float, int, asyncio.TimerHandle]) -> tuple[float, int]:
    return timer[:2]


def _complain(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    assert isinstance(loop, VirtualLoop)  # noqa: S101 - it is installed there alone
    loop.complaints.append(f"{context['message']}: {context.get('exception')!r}")
