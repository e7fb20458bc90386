"""One worker's life: started, watched, restarted, drained, stopped - and given up when it keeps failing.

The states are `engines.roster.WorkerStatus`, the changes between them `lifecycle.TRANSITIONS`. Any exit that was not
asked for is a crash, also one with code 0: vLLM exits with 0 when its core was killed.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from msgspec.structs import replace

from engines.launch import lifecycle
from engines.launch.errors import LaunchError
from engines.launch.orphans import ProcessesRemain
from engines.launch.progress import FIRST_PHASE, Phases, StartTimes, last_error, progress_line
from engines.launch.ready import NeverReady
from engines.launch.restarts import Restarts
from engines.launch.spec import WorkerSpec
from engines.launch.tail import Tail
from engines.roster import WorkerRecord, WorkerStatus

TICK_S = 1.5
"""Between two progress lines: a reader is promised one at least every 2 s."""

TERM_GRACE_S = 15.0
"""From SIGTERM to SIGKILL. vLLM 0.32 with nothing to do needs about a second."""

SETTLE_S = 1.0
"""From publishing that a worker drains to believing its count of requests: gateways poll the roster meanwhile."""

IDLE_POLL_S = 1.0
_UNTOLD_LIMIT = 3


class Running(Protocol):
    """A started worker process; `process.WorkerChild` is the real one."""

    tail: Tail

    @property
    def pid(self) -> int:
        """The leader's pid."""

    def note_members(self) -> None:
        """Write down its processes for a later supervisor."""

    async def wait(self) -> int:
        """The leader's exit code."""

    async def stop(self, *, grace_s: float) -> None:
        """End and release everything of it; may be called again with less grace. Raises `ProcessesRemain`."""


class Launcher(Protocol):
    """What a worker's life needs of the world; `supervisor.LocalLauncher` is the real one."""

    async def spawn(self, spec: WorkerSpec, on_line: Callable[[str], None]) -> Running:
        """Start the process; `on_line` hears its output. Raises `OSError`."""

    async def until_ready(self, spec: WorkerSpec, on_phase: Callable[[str], None]) -> None:
        """Return when it answered a real request. Raises `NeverReady`."""

    async def in_flight(self, spec: WorkerSpec) -> int | None:
        """Requests it holds; `None` when it does not tell."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all workers of one supervisor share."""

    launcher: Launcher
    times: StartTimes
    wall: Callable[[], float]
    """Unix seconds."""
    announce: Callable[[str], None]
    changed: Callable[[], None]
    """Called after every change of a worker's record."""


class Worker:
    """Keeps one worker running. `run()` is its life; `ask_to_stop()` ends it."""

    def __init__(
        self,
        first: WorkerRecord,
        *,
        prepare: Callable[[], Awaitable[WorkerSpec]],
        restarts: Restarts,
        around: Surroundings,
    ) -> None:
        self.record = first
        self._prepare = prepare
        self._restarts = restarts
        self._around = around
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._grace_s = 0.0
        self._spec: WorkerSpec | None = None
        self._child: Running | None = None
        self._usual_s: float | None = None
        self._phases = Phases()

    @property
    def status(self) -> WorkerStatus:
        """Where it is in its life."""
        return self.record.status

    def ask_to_stop(self, grace_s: float) -> None:
        """Let it finish what it holds, for at most `grace_s`, then stop. Asked again, it stops at once."""
        if self._stop.is_set():
            self._hurry.set()
        self._grace_s = grace_s
        self._stop.set()

    async def run(self) -> None:
        """Live until stopped or given up; then no process of it is left, unless its status says so."""
        lives = asyncio.create_task(self._lives())
        asked = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait({lives, asked}, return_when=asyncio.FIRST_COMPLETED)
            if self._stop.is_set() and self.status is WorkerStatus.READY:
                await self._drain(lives)
        finally:
            asked.cancel()
            await self._end(lives)

    async def _end(self, lives: asyncio.Task[None]) -> None:
        lives.cancel()
        try:
            await lives
        except asyncio.CancelledError:
            pass
        except ProcessesRemain as error:
            self._fail(str(error))
            return
        if self.status is not WorkerStatus.FAILED:
            self._become(WorkerStatus.STOPPED, "stopped")

    async def _lives(self) -> None:
        """One life after another, until one ends that needs no other."""
        while (failure := await self._life()) is not None:
            if self.status is WorkerStatus.DRAINING:
                return
            delay = self._restarts.after_failure(asyncio.get_running_loop().time())
            if delay is None:
                self._fail(failure)
                return
            self._wait_for_restart(failure, delay)
            await asyncio.sleep(delay)

    async def _life(self) -> str | None:
        """From one start to its end; what went wrong, `None` when it was given up."""
        try:
            self._spec = spec = await self._prepare()
        except LaunchError as error:
            self._fail(str(error))
            return None
        self._begin(spec)
        try:
            child = await self._around.launcher.spawn(spec, self._hear)
        except OSError as error:
            self._become(WorkerStatus.WAITING, "not started")
            return f"it could not be started: {error}"
        self._child = child
        grace_s = TERM_GRACE_S
        try:
            self._update(pid=child.pid)
            failure = await self._watch(spec, child)
            grace_s = 0  # it failed: nobody waits for what is left of it, and the restart does
            self._lost(failure)
        finally:
            await unbroken(self._bury(child, grace_s))
            self._child = None
            self._update(pid=None, log_tail=child.tail.lines())
        error_line = last_error(child.tail.lines())
        return f"{failure}: {error_line}" if error_line else failure

    async def _bury(self, child: Running, grace_s: float) -> None:
        """End what is left of it, at once when that is asked for meanwhile."""
        ending = asyncio.create_task(child.stop(grace_s=grace_s))
        hurry = asyncio.create_task(self._hurry.wait())
        await asyncio.wait({ending, hurry}, return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        if not ending.done():
            await child.stop(grace_s=0)
        await ending

    async def _watch(self, spec: WorkerSpec, child: Running) -> str:
        exited = asyncio.create_task(child.wait())
        ready = asyncio.create_task(self._become_ready(spec, child))
        try:
            await asyncio.wait({exited, ready}, return_when=asyncio.FIRST_COMPLETED)
            if not exited.done():
                if (failure := ready.result()) is not None:
                    return failure
                await exited
            return describe_exit(exited.result())
        finally:
            exited.cancel()
            ready.cancel()
            await asyncio.gather(exited, ready, return_exceptions=True)

    async def _become_ready(self, spec: WorkerSpec, child: Running) -> str | None:
        began = asyncio.get_running_loop().time()
        ticking = asyncio.create_task(self._tick(child, began))
        try:
            async with asyncio.timeout(spec.start_timeout_s):
                await self._around.launcher.until_ready(spec, self._enter)
        except TimeoutError:
            return f"it was not ready after {spec.start_timeout_s:.0f} s, while {self.record.phase}"
        except NeverReady as error:
            return str(error)
        finally:
            ticking.cancel()
        took = asyncio.get_running_loop().time() - began
        self._note(child)
        self._remember(spec, took)
        self._update(ready_at=None)
        self._become(WorkerStatus.READY, "ready", f"after {took:.0f} s")
        return None

    async def _tick(self, child: Running, began: float) -> None:
        """Say what the start is doing, and note its processes, which appear one after another."""
        while True:
            await asyncio.sleep(TICK_S)
            self._note(child)
            elapsed = asyncio.get_running_loop().time() - began
            self._around.announce(
                progress_line(self.record.id, self.status, elapsed, self.record.phase, self._usual_s)
            )

    async def _drain(self, lives: asyncio.Task[None]) -> None:
        self._become(WorkerStatus.DRAINING, "finishing its requests")
        idle = asyncio.create_task(self._until_idle())
        hurry = asyncio.create_task(self._hurry.wait())
        try:
            await asyncio.wait(
                {idle, hurry, lives}, timeout=self._grace_s, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            idle.cancel()
            hurry.cancel()

    async def _until_idle(self) -> None:
        await asyncio.sleep(SETTLE_S)
        untold = 0
        while self._spec is not None and untold < _UNTOLD_LIMIT:
            count = await self._around.launcher.in_flight(self._spec)
            if count == 0:
                return
            untold = untold + 1 if count is None else 0
            await asyncio.sleep(IDLE_POLL_S)

    # What it says about itself.

    def _begin(self, spec: WorkerSpec) -> None:
        self._phases = Phases()
        self._usual_s = self._around.times.usual_s(spec.kind)
        phase = "importing the engine, then downloading the model" if spec.downloads else FIRST_PHASE
        self._update(
            address=spec.address.url,
            api_key=spec.api_key,
            models=dict(spec.models),
            published=spec.published,
            ready_at=self._around.wall() + self._usual_s if self._usual_s else None,
        )
        self._become(WorkerStatus.STARTING, phase)

    def _hear(self, line: str) -> None:
        if self.status is WorkerStatus.STARTING and (phase := self._phases.hear(line)):
            self._enter(phase)

    def _enter(self, phase: str) -> None:
        if phase != self.record.phase:
            self._update(phase=phase)

    def _lost(self, failure: str) -> None:
        """Take it out of service at once: ending what is left of it may take seconds."""
        if self.status is not WorkerStatus.DRAINING:
            self._become(WorkerStatus.WAITING, "ending what is left of it", failure)

    def _wait_for_restart(self, failure: str, delay: float) -> None:
        phase = f"restart {self._restarts.total} in {delay:.1f} s"
        self._update(restarts=self._restarts.total, last_error=failure, ready_at=None, phase=phase)
        self._around.announce(f"{self.record.id}  {self.status}  {phase}: {failure}")

    def _fail(self, failure: str) -> None:
        self._update(last_error=failure, ready_at=None)
        self._become(WorkerStatus.FAILED, "given up", failure)

    def _become(self, status: WorkerStatus, phase: str, detail: str = "") -> None:
        lifecycle.check(self.status, status)
        self._update(status=status, phase=phase, since=self._around.wall())
        said = detail or (phase if phase != status else "")
        self._around.announce(f"{self.record.id}  {status}  {said}".rstrip())

    def _update(self, **changes: object) -> None:
        if self._child is not None:
            changes.setdefault("log_tail", self._child.tail.lines())
        self.record = replace(self.record, **changes)
        self._around.changed()

    def _note(self, child: Running) -> None:
        try:
            child.note_members()
        except OSError as error:
            self._around.announce(f"{self.record.id}  its processes cannot be written down: {error}")

    def _remember(self, spec: WorkerSpec, took: float) -> None:
        try:
            self._around.times.remember(spec.kind, took)
        except OSError as error:
            self._around.announce(f"{self.record.id}  its start time cannot be written down: {error}")


_T = TypeVar("_T")


async def unbroken(work: Coroutine[Any, Any, _T]) -> _T:
    """Do `work` to its end even if the caller is cancelled meanwhile; the cancellation is raised afterwards."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
    return task.result()


def describe_exit(code: int) -> str:
    """An unasked exit in words."""
    if code < 0:
        with suppress(ValueError):
            return f"it was ended by {signal.Signals(-code).name}"
    return f"it exited with code {code}"
