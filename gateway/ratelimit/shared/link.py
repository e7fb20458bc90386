"""The connection to the server: all commands of one loop tick in one write, answers by callback, and a short patience.

Nobody waits for a connection. While there is none, `call` says so at once and its caller does without; this module gets
it back in the background, and asks a new one first whether it answers quickly and takes writes.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple, NoReturn

from gateway.ratelimit.shared.census import Census
from gateway.ratelimit.shared.resp import ErrorReply, Reply, command
from gateway.ratelimit.shared.scripts import Script, Scripts
from gateway.ratelimit.shared.wire import SLOW_SHARE, Patience, Sink, Waiting, Wire

FAILURES: Final = 5
"""So many attempts follow each other quickly; then one a second."""
OPEN_S: Final = 1.0
_QUICK_S: Final = 0.02
_PROBES: Final = 3
_PROBES_AFTER_SLOW: Final = 20
"""More, each of which has to be quicker by half, of a server that was given up for being slow: one that is so now and
then would be taken back and given up again each second."""
_BELIEVED_AFTER: Final = 4
"""So often fewer gateways are heard of before it is believed: a server that forgot everything hears of them anew."""
_HARMLESS: Final = frozenset({"ERR", "WRONGTYPE"})
"""Errors of one command. Any other says that the server serves nobody now: OOM, READONLY, MISCONF, LOADING, MOVED…"""


class Login(NamedTuple):
    """Who we are to the server."""

    user: str | None = None
    password: str | None = None
    database: int = 0
    name: str = "cascadia"


class Population(NamedTuple):
    """How many gateways share the counts, and which of them this is, from 0."""

    gateways: int = 1
    rank: int | None = 0
    """`None` until the server says which."""


Dial = Callable[[Callable[[], asyncio.Protocol]], Awaitable[None]]
"""Finds the server and connects the protocol that it is given. Raises `OSError`, or `TimeoutError`."""


class Link:
    """One connection to the server, again and again."""

    def __init__(
        self,
        dial: Dial,
        scripts: Scripts,
        *,
        login: Login,
        beat: bytes,
        clock: Callable[[], float],
        rng: random.Random,
        patience: Patience | None = None,
        most: int = 10_000,
        census: Census | None = None,
    ) -> None:
        """`beat` is the rest of the command by which this gateway says that it lives; `most` commands wait at once.

        `census` says how many gateways there are until the server does.
        """
        self._dial = dial
        self._scripts = scripts
        self._login = login
        self._beat = beat
        self._clock = clock
        self._rng = rng
        self._patience = patience or Patience()
        self._most = most
        self._wire: Wire | None = None
        self._down = asyncio.Event()
        self._failures = 0
        self._was_slow = False
        self._fewer = 0
        self.is_up = False
        self.trouble: str | None = "not connected yet"
        """Why the server is done without, `None` while it is not."""
        self._census = census
        self.population = Population() if census is None else Population(census.gateways(), None)
        """As last heard. Shares get larger some seconds later than they could, and never too early."""
        self.memory = b""
        """Names what the server remembers: another one, and it has forgotten everything."""
        self.on_forgot: Callable[[], None] = lambda: None
        """Called when the server is found to have forgotten everything while it was connected."""
        self.on_up: Callable[[], None] = lambda: None
        """Called when the server can be asked again, before anybody asks it."""
        self.on_down: Callable[[], None] = lambda: None

    def call(self, script: Script, tail: bytes, words: int, sink: Sink) -> bool:
        """Send a script with `tail`, which has `words` words, the number of keys included. False: it cannot be asked now."""
        wire = self._wire
        if not self.is_up or wire is None or len(wire.waiting) >= self._most:
            return False
        text = b"*%d\r\n%b%b" % (words + 2, script.by_hash, tail)
        wire.send(text, Waiting(sink, self._clock(), script, tail, words))
        return True

    async def run(self) -> None:
        """Keep it connected until cancelled."""
        try:
            while True:
                if await self._connect():
                    began = self._clock()
                    await self._keep()
                    if self._clock() - began > OPEN_S:
                        self._failures = 0
                self._failures += 1
                await asyncio.sleep(self._pause())
        finally:
            self.close("closing")

    def close(self, why: str) -> None:
        """Give the connection up; whoever waits is told."""
        wire, self._wire = self._wire, None
        was_up, self.is_up = self.is_up, False
        self.trouble = why
        self._down.set()
        if wire is not None:
            wire.abort()
        if was_up:
            self.on_down()
        if wire is not None:
            for each in wire.leave():
                each.sink.lost()

    async def leave(self) -> None:
        """Say goodbye, so that the others' shares grow at once; waits for what was sent before."""
        if self.is_up:
            with contextlib.suppress(OSError, ErrorReply, TimeoutError):
                await self._ask(self._beat_command(leaving=True))
        self.close("closing")

    # --- getting and keeping it

    def _pause(self) -> float:
        if self._failures < FAILURES:
            return _QUICK_S * self._rng.uniform(0.5, 1.0)
        return OPEN_S * self._rng.uniform(0.75, 1.25)

    async def _connect(self) -> bool:
        self._down.clear()
        wire = Wire(self, self._patience, self._clock)
        try:
            async with asyncio.timeout(self._patience.connect):
                await self._dial(lambda: wire)
            self._wire = wire
            await self._greet()
        except (OSError, ErrorReply, TimeoutError) as error:
            self.close(str(error) or type(error).__name__)
            wire.abort()
            return False
        self.trouble = None
        self.is_up = True
        self.on_up()
        return True

    async def _greet(self) -> None:
        """Log in, make the scripts known, and see whether writes are taken, and quickly."""
        login = self._login
        if login.password is not None:
            who = [] if login.user is None else [login.user.encode()]
            await self._ask(command(b"AUTH", *who, login.password.encode()))
        if login.database:
            await self._ask(command(b"SELECT", str(login.database).encode()))
        for script in (self._scripts.take, self._scripts.give, self._scripts.beat):
            await self._ask(script.load())
        for _ in range(_PROBES):
            took = await self._probe()
        if took > self._patience.slow:
            self._slow_again(took)
        if self._was_slow:
            for _ in range(_PROBES_AFTER_SLOW):
                took = await self._probe()
                if took > self._patience.slow / 2:
                    self._slow_again(took)
        self._was_slow = False

    async def _probe(self) -> float:
        """How long one answer takes, in seconds."""
        began = self._clock()
        await self._hear_beat()
        return self._clock() - began

    def _slow_again(self, took: float) -> NoReturn:
        self._failures = FAILURES
        self._was_slow = True
        raise TimeoutError(f"slow: {took * 1000:.0f} ms for an answer")

    async def _keep(self) -> None:
        """Say that we live, until the connection is lost."""
        while self.is_up:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(OPEN_S):
                    await self._down.wait()
            if self.is_up:
                try:
                    await self._hear_beat()
                except (OSError, ErrorReply) as error:
                    self.close(str(error))

    async def _hear_beat(self) -> None:
        heard, born = _heard(await self._ask(self._beat_command()))
        self._fewer = self._fewer + 1 if heard.gateways < self.population.gateways else 0
        if not self._fewer or self._fewer > _BELIEVED_AFTER:
            self.population = heard
            if self._census is not None:
                self._census.note(heard.gateways)
        former, self.memory = self.memory, born
        if self.is_up and former != born:
            self.on_forgot()

    def _beat_command(self, *, leaving: bool = False) -> bytes:
        return b"*8\r\n%b%b$1\r\n%d\r\n" % (self._scripts.beat.whole, self._beat, leaving)

    async def _ask(self, text: bytes) -> Reply:
        """One command off the hot path. Raises `OSError` when it is lost, `ErrorReply` when it is refused."""
        if self._wire is None:
            raise ConnectionError("not connected")
        answer = _Answer()
        self._wire.send(text, Waiting(answer, self._clock()))
        reply = await answer.future
        if isinstance(reply, ErrorReply):
            raise reply
        return reply

    # --- what the wire tells

    def heard(self, wire: Wire, waiting: Waiting, reply: Reply) -> None:
        """An answer to the oldest command."""
        if not isinstance(reply, ErrorReply):
            waiting.sink.answered(reply)
        elif reply.code == "NOSCRIPT" and waiting.script is not None:
            text = b"*%d\r\n%b%b" % (waiting.words + 2, waiting.script.whole, waiting.tail)
            wire.send(text, Waiting(waiting.sink, waiting.since))
        elif isinstance(waiting.sink, _Answer):
            waiting.sink.answered(reply)
        else:
            waiting.sink.lost()
            if reply.code not in _HARMLESS and wire is self._wire:
                self.close(str(reply))

    def slowed(self, wire: Wire) -> None:
        """It answers, and too slowly: no use to try at once again."""
        self._failures = FAILURES
        self._was_slow = True
        self.ended(wire, f"slow: one answer in {SLOW_SHARE} takes over {self._patience.slow * 1000:.0f} ms")

    def ended(self, wire: Wire, why: str) -> None:
        """The connection is gone, or is given up."""
        if wire is self._wire:
            self.close(why)
        else:
            for each in wire.leave():
                each.sink.lost()


def _heard(reply: Reply) -> tuple[Population, bytes]:
    """What a beat is answered with. Raises `ConnectionError` when it is anything else."""
    try:
        words = reply.split() if isinstance(reply, bytes) else [b""] * 3
        gateways, rank, born = int(words[0]), int(words[1]), words[2]
    except (ValueError, IndexError):
        raise ConnectionError("it does not count gateways") from None
    if gateways < 1 or rank < 0:
        raise ConnectionError("it counts no gateways")
    return Population(gateways, rank), born


class _Answer:
    """An answer that somebody awaits: logging in and saying that we live, never a call."""

    def __init__(self) -> None:
        self.future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()

    def answered(self, reply: Reply) -> None:
        if not self.future.done():
            self.future.set_result(reply)

    def lost(self) -> None:
        if not self.future.done():
            self.future.set_exception(ConnectionError("no answer"))
