"""The process of `cascadia up` over its two children: starting, restarting and draining them, leaving nobody behind."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from gateway.cli.exits import ExitCode
from gateway.cli.kin import reap_orphans

FIRST_BACKOFF_S: Final = 0.5
LONGEST_BACKOFF_S: Final = 30.0
CALM_S: Final = 60.0
"""A child that ran this long starts again with the shortest pause."""

SETTLED_S: Final = 10.0
"""A first life that ends sooner by itself is a refusal, not a crash: it would end so again."""

KILL_AFTER_S: Final = 10.0
"""From the second signal to the end of everything."""

_REAP_EVERY_S: Final = 1.0


class Backoff:
    """How long to wait before the next start: doubling, with jitter, forgiven after a calm life."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._failures = 0

    def after(self, lived_s: float) -> float:
        """Seconds to wait after a life of `lived_s` seconds that ended in a crash."""
        self._failures = 0 if lived_s >= CALM_S else self._failures
        longest = min(LONGEST_BACKOFF_S, FIRST_BACKOFF_S * float(2**self._failures))
        self._failures += 1
        return longest * self._rng.uniform(0.5, 1.0)


@dataclass(frozen=True, slots=True)
class Role:
    """What one child is: its name, its command line, and the seconds its drain may take."""

    name: str
    argv: Sequence[str]
    drain_s: float


Spawn = Callable[[Role], Awaitable[asyncio.subprocess.Process]]


async def spawn(role: Role) -> asyncio.subprocess.Process:
    """Start a child in a session of its own: Ctrl-C reaches the parent alone, which orders the drain."""
    return await asyncio.create_subprocess_exec(
        *role.argv, env=environment(), stdin=asyncio.subprocess.DEVNULL, start_new_session=True
    )


def environment() -> dict[str, str]:
    """A child's: the snapshot in its --config holds what our variables said, and applied again they would beat the options."""
    return {name: value for name, value in os.environ.items() if not name.startswith("CASCADIA_")}


class Child:
    """One role over all its lives."""

    def __init__(
        self,
        role: Role,
        *,
        spawn: Spawn,
        say: Callable[[str], None],
        backoff: Backoff,
        settled_s: float = SETTLED_S,
    ) -> None:
        self.role = role
        self._spawn = spawn
        self._say = say
        self._backoff = backoff
        self._settled_s = settled_s
        self._stopping = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        """Its process now, `None` between two lives."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    async def run(self) -> int:
        """Keep it running; returns its exit code once it ended for good or was asked to stop."""
        clock = asyncio.get_running_loop().time
        is_first = True
        while True:
            began = clock()
            self._process = await self._spawn(self.role)
            if self._stopping.is_set():
                self._signal(signal.SIGTERM)  # asked to stop while it was being started
            code = await self._process.wait()
            lived = clock() - began
            settled = lived >= self._settled_s or not is_first
            if self._stopping.is_set() or _is_final(code, settled=settled):
                return code
            is_first = False
            pause = self._backoff.after(lived)
            self._say(
                f"{self.role.name}  ended unasked with {ending(code)}; starting it again in {pause:.1f} s"
            )
            if await self._stopped_within(pause):
                return code

    def ask_to_stop(self) -> None:
        """Send SIGTERM: the first drains, a second ends at once (both children read it so)."""
        self._stopping.set()
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it now."""
        self._stopping.set()
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self.pid is not None:
            os.kill(self.pid, number)

    async def _stopped_within(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return False
        return True


def _is_final(code: int, *, settled: bool) -> bool:
    """Whether a child that nobody asked to end is not to be started again.

    Killed by a signal: a crash, start again. 2 and 78: its command line or configuration is refused, which no
    restart mends. Anything else in the first moments of the first life: refused too (a taken port). Later: a crash.
    """
    if code < 0:
        return False
    return code in {ExitCode.USAGE, ExitCode.CONFIG} or not settled


def ending(code: int) -> str:
    """An exit code in words."""
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


@dataclass(slots=True)
class Family:
    """The children of one `up`. Stopped in the order given: the gateway first, so that no call loses its engine."""

    children: Sequence[Child]
    say: Callable[[str], None]
    kill_after_s: float = KILL_AFTER_S
    _signals: int = field(default=0, init=False)
    _ordered: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _hurried: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    def interrupt(self) -> None:
        """A signal arrived: the first drains, the second ends at once."""
        self._signals += 1
        self._ordered.set()
        if self._signals > 1:
            self._hurried.set()

    async def run(self) -> int:
        """Run until a signal, or until a child ends for good; then end the others. Gives the exit code."""
        lives = [asyncio.create_task(child.run()) for child in self.children]
        order = asyncio.create_task(self._ordered.wait())
        reaping = asyncio.create_task(self._reap())
        try:
            await asyncio.wait([*lives, order], return_when=asyncio.FIRST_COMPLETED)
            ended = [life.result() for life in lives if life.done()]
            await self._stop(lives)
        finally:
            order.cancel()
            reaping.cancel()
            for child in self.children:
                child.kill()
            await asyncio.gather(*lives, return_exceptions=True)
        return _exit_code(ended)

    async def _reap(self) -> None:
        while True:
            await asyncio.sleep(_REAP_EVERY_S)
            reap_orphans([child.pid for child in self.children if child.pid is not None])

    async def _stop(self, lives: Sequence[asyncio.Task[int]]) -> None:
        for child, life in zip(self.children, lives, strict=True):
            if life.done():
                continue
            self.say(f"{child.role.name}  draining (a second Ctrl-C ends it now)")
            child.ask_to_stop()
            if not await self._ends(life, child.role.drain_s):
                await self._hurry(child, life)

    async def _ends(self, life: asyncio.Task[int], seconds: float) -> bool:
        """Whether the child ends within `seconds` and before somebody is in a hurry."""
        hurry = asyncio.create_task(self._hurried.wait())
        try:
            await asyncio.wait([life, hurry], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            hurry.cancel()
        return life.done()

    async def _hurry(self, child: Child, life: asyncio.Task[int]) -> None:
        self.say(f"{child.role.name}  ending now")
        child.ask_to_stop()
        await asyncio.wait([life], timeout=self.kill_after_s)
        child.kill()
        await asyncio.wait([life])


def _exit_code(ended: Sequence[int]) -> int:
    """0 after a drain that was asked for; else the code of the child that ended by itself, never 0."""
    if not ended:
        return ExitCode.OK
    return ended[0] if ended[0] > 0 else ExitCode.FAILED


def program() -> list[str]:
    """How to call this program again, with the interpreter and packages of this process."""
    return [sys.executable, "-m", "gateway"]
