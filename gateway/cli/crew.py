"""The parent of several gateway processes on one address: starting, restarting, replacing and draining them.

It opens the addresses and holds them open; the processes inherit them, so that none of them dies with a connection in its
socket. It serves nothing itself.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from gateway.cli.exits import ExitCode
from gateway.cli.parent import KILL_AFTER_S, Backoff, ending

UP_WITHIN_S: Final = 60.0
"""A process that does not serve by then will not."""


class Life(Protocol):
    """One process, from its start to its end."""

    name: str

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        ...

    async def is_up(self, seconds: float) -> bool:
        """Whether it serves, once that is known or the time is over."""
        ...

    async def wait(self) -> int:
        """Its exit code, negative for a signal."""
        ...

    def send(self, number: signal.Signals) -> None:
        """Send it a signal; nothing when it has ended."""
        ...


class Bench(Protocol):
    """Where processes come from, and what is to be done when one has gone."""

    async def start(self, seat: int, *, joins: bool) -> Life:
        """A process on that seat."""
        ...

    def buried(self, life: Life) -> None:
        """It has ended."""
        ...


class Keeper:
    """Keeps one seat taken."""

    def __init__(
        self, seat: int, bench: Bench, say: Callable[[str], None], *, backoff: Backoff, leave: signal.Signals
    ) -> None:
        self.seat = seat
        self.life: Life
        self.lives = 0
        self._bench = bench
        self._say = say
        self._backoff = backoff
        self._leave = leave
        self._changing = asyncio.Lock()
        self._stopping = asyncio.Event()

    async def begin(self) -> None:
        """Start the first process."""
        await self._start(joins=False)

    async def run(self) -> int:
        """Start it again whenever it ends unasked; returns the last one's exit code once it was asked to stop."""
        clock = asyncio.get_running_loop().time
        began = clock()
        while True:
            life = self.life
            code = await life.wait()
            async with self._changing:
                if self.life is not life:  # it was replaced
                    began = clock()
                    continue
                self._bench.buried(life)
                if self._stopping.is_set():
                    return code
                pause = self._backoff.after(clock() - began)
                self._say(
                    f"gateway {self.seat}  ended unasked with {ending(code)}; starting it again in {pause:.1f} s"
                )
                if await self._stopped_within(pause):
                    return code
                began = clock()
                await self._start(joins=True)

    async def replace(self, drain_s: float) -> bool:
        """Put a new process on the seat and have the old one leave; whether that came about.

        The old one serves on until the new one does. It has `drain_s` seconds to finish what it has.
        """
        async with self._changing:
            if self._stopping.is_set():
                return False
            new = await self._bench.start(self.seat, joins=True)
            if not await new.is_up(UP_WITHIN_S) or self._stopping.is_set():
                new.send(signal.SIGKILL)
                await new.wait()
                self._bench.buried(new)
                return False
            old, self.life = self.life, new
            self.lives += 1
        old.send(self._leave)
        try:
            async with asyncio.timeout(drain_s):
                await old.wait()
        except TimeoutError:
            old.send(signal.SIGKILL)
            await old.wait()
        self._bench.buried(old)
        return True

    def stop(self) -> None:
        """Send SIGTERM: the first drains, a second ends at once."""
        self._stopping.set()
        self.life.send(signal.SIGTERM)

    def kill(self) -> None:
        """End it now."""
        self._stopping.set()
        self.life.send(signal.SIGKILL)

    async def _start(self, *, joins: bool) -> None:
        self.life = await self._bench.start(self.seat, joins=joins)
        self.lives += 1
        if self._stopping.is_set():  # asked to stop while it was being started
            self.life.send(signal.SIGTERM)

    async def _stopped_within(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return False
        return True


@dataclass(slots=True)
class Crew:
    """All seats. `drain_s` is how long one process may take to end, `on_up` is called once all serve for the first time."""

    keepers: Sequence[Keeper]
    say: Callable[[str], None]
    on_up: Callable[[], None]
    renew: Callable[[], bool]
    """Reads the configuration anew for the processes started from now on; whether it can be used."""
    drain_s: float
    kill_after_s: float = KILL_AFTER_S
    _signals: int = field(default=0, init=False)
    _ordered: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _hurried: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _to_renew: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    def interrupt(self) -> None:
        """A signal arrived: the first drains, the second ends at once."""
        self._signals += 1
        self._ordered.set()
        if self._signals > 1:
            self._hurried.set()

    def hang_up(self) -> None:
        """SIGHUP: replace all processes, one after the other."""
        self._to_renew.set()

    async def run(self) -> int:
        """Run until a signal, or until a process ends before all have served once. Gives the exit code."""
        order = asyncio.create_task(self._ordered.wait())
        try:
            for keeper in self.keepers:
                await keeper.begin()
            refused = await self._until_up(order)
            if refused is not None:
                return refused
            lives = [asyncio.create_task(keeper.run()) for keeper in self.keepers]
            renewing = asyncio.create_task(self._renew_when_asked())
            await asyncio.wait([*lives, renewing, order], return_when=asyncio.FIRST_COMPLETED)
            is_ordered = order.done()
            await self._stop(lives)
            renewing.cancel()
            return ExitCode.OK if is_ordered else ExitCode.FAILED
        finally:
            order.cancel()
            for keeper in self.keepers:
                keeper.kill()

    async def _until_up(self, order: asyncio.Task[bool]) -> int | None:
        """Wait until all serve. The exit code of the first that does not: it was refused, and would be again."""
        ups = [asyncio.create_task(keeper.life.is_up(UP_WITHIN_S)) for keeper in self.keepers]
        waiting = {*ups}
        while waiting and not order.done():
            done, _ = await asyncio.wait([*waiting, order], return_when=asyncio.FIRST_COMPLETED)
            waiting -= done
            if any(up.done() and not up.result() for up in ups):
                break
        for up in waiting:
            up.cancel()
        for keeper, up in zip(self.keepers, ups, strict=True):
            if up.done() and not up.cancelled() and not up.result():
                keeper.life.send(signal.SIGKILL)
                code = await keeper.life.wait()
                return code if code > 0 else ExitCode.FAILED
        if not order.done():
            self.on_up()
        return None

    async def _renew_when_asked(self) -> None:
        while True:
            await self._to_renew.wait()
            self._to_renew.clear()
            if not self.renew():
                continue
            self.say("gateway  replacing all processes, one after the other")
            for keeper in self.keepers:
                if not await keeper.replace(self.drain_s):
                    self.say(f"gateway {keeper.seat}  the new process does not serve; the old ones go on")
                    break
            else:
                self.say("gateway  all processes are new")

    async def _stop(self, lives: Sequence[asyncio.Task[int]]) -> None:
        self.say("gateway  draining (a second Ctrl-C ends it now)")
        for keeper in self.keepers:
            keeper.stop()
        hurry = asyncio.create_task(self._hurried.wait())
        ended = asyncio.create_task(_all(lives))
        try:
            await asyncio.wait([ended, hurry], timeout=self.drain_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            hurry.cancel()
        if not ended.done():
            for keeper in self.keepers:
                keeper.stop()
            await asyncio.wait([ended], timeout=self.kill_after_s)
            for keeper in self.keepers:
                keeper.kill()
        await ended


async def _all(lives: Sequence[asyncio.Task[int]]) -> None:
    await asyncio.gather(*lives)
