"""The gateway's side of the clerk: starts it when it is first asked, asks it, starts another when it has died."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Sequence

import msgspec

from gateway.core.errors import StoreUnavailable
from gateway.ledger.clerk import words
from gateway.ledger.clerk.words import Answer, Move, Outdated, Prune, Question, Recover, Task, Trouble, Unread
from gateway.ledger.moving import Moved, Mover
from gateway.store.wire import to_json

log = logging.getLogger(__name__)

ANSWER_SECONDS = 300.0
"""The longest that one question may take, a wait for each of its statements included. Then the clerk is ended."""
MIGRATE_SECONDS = 3600.0
END_SECONDS = 2.0
"""How long a clerk that is to end may take for it."""
_MOST_LINE_BYTES = 1024 * 1024
COMMAND = (sys.executable, "-m", "gateway.ledger.clerk")
MIGRATE = (sys.executable, "-m", "gateway.store")


class Clerk:
    """A `Mover` in a process of its own. Whoever makes it closes it."""

    def __init__(self, task: Task, *, command: Sequence[str] = COMMAND) -> None:
        self.starts = 0
        """Clerks that were started: one, unless they die."""
        self.trouble: str | None = None
        """Why nothing could be moved when it was last tried."""
        self._task = task
        self._command = command
        self._process: Process | None = None
        self._numbers = itertools.count(1)
        self._asking = asyncio.Lock()

    def __repr__(self) -> str:
        where = "not running" if self._process is None else f"process {self._process.pid}"
        return f"<Clerk {where}{f', {self.trouble}' if self.trouble else ''}>"

    async def move(self, number: int, start: int, end: int) -> Moved:
        """See `Mover.move`."""
        return await self._told(Move(number, start, end))

    async def recover(self, numbers: Sequence[int]) -> Moved:
        """See `Mover.recover`."""
        return await self._told(Recover(tuple(numbers)))

    async def prune(self) -> Moved:
        """See `Mover.prune`."""
        return await self._told(Prune())

    async def close(self) -> None:
        """End the process. It may be asked again, and is then started again."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None  # noqa: S101 - it was asked for
        process.stdin.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_SECONDS):
                await process.wait()
                return
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()

    async def _told(self, what: Move | Recover | Prune) -> Moved:
        """The answer, once it is a good one. Raises `StoreUnavailable` and `OSError`."""
        async with self._asking:
            found = await self._asked(what)
            if isinstance(found, Outdated):
                await self._migrate()
                found = await self._asked(what)
        match found:
            case Moved():
                if self.trouble is not None:
                    log.info("database available", extra={"database": str(self._task.place)})
                    self.trouble = None
                return found
            case Unread():
                raise OSError(found.errno, found.why)
            case Trouble():
                raise self._unavailable(found.why)
            case Outdated():
                raise self._unavailable("the schema is still an older one after a migration")

    async def _asked(self, what: Move | Recover | Prune) -> Moved | Trouble | Unread | Outdated:
        number = next(self._numbers)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                process = await self._running()
                assert process.stdin is not None  # noqa: S101 - it was asked for
                process.stdin.write(words.line(Question(number, what)))
                await process.stdin.drain()
                answer = await self._answer(process, number)
        except (EOFError, OSError, TimeoutError, ValueError, msgspec.MsgspecError) as error:
            raise self._unavailable(await self._end_of(error)) from error
        for line in answer.said:
            log.log(line.level, line.message, extra=line.extra)
        return answer.what

    async def _running(self) -> Process:
        if self._process is None:
            self.starts += 1
            self._process = await asyncio.create_subprocess_exec(
                *self._command, stdin=PIPE, stdout=PIPE, limit=_MOST_LINE_BYTES
            )
            assert self._process.stdin is not None  # noqa: S101 - it was asked for
            self._process.stdin.write(words.line(self._task))
        return self._process

    @staticmethod
    async def _answer(process: Process, number: int) -> Answer:
        """The answer to question `number`; those before it were given up by who asked. Raises `EOFError`."""
        assert process.stdout is not None  # noqa: S101 - it was asked for
        while data := await process.stdout.readline():
            answer = words.answer(data)
            if answer.number == number:
                return answer
        raise EOFError

    async def _end_of(self, error: BaseException) -> str:
        """End a clerk that does not answer; what to say of it."""
        process, self._process = self._process, None
        if process is None:
            return f"the process that writes to it could not be started: {error}"
        if isinstance(error, EOFError):  # it is ending: a signal to it now would lose what it ended with
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(END_SECONDS):
                    return f"the process that writes to it ended with {await process.wait()}"
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        code = await process.wait()
        if isinstance(error, TimeoutError):
            return f"no answer in {ANSWER_SECONDS:.0f} seconds"
        return f"the process that writes to it ended with {code}"

    async def _migrate(self) -> None:
        process = await asyncio.create_subprocess_exec(*MIGRATE, stdin=PIPE, stdout=PIPE, stderr=DEVNULL)
        try:
            async with asyncio.timeout(MIGRATE_SECONDS):
                said, _ = await process.communicate(to_json(self._task.place))
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            raise
        if process.returncode:
            raise self._unavailable(
                said.decode(errors="replace").strip() or f"its migration ended with {process.returncode}"
            )
        log.info("database migrated", extra={"database": str(self._task.place)})

    def _unavailable(self, why: str) -> StoreUnavailable:
        if why != self.trouble:
            log.warning("database unavailable", extra={"database": str(self._task.place), "error": why})
        self.trouble = why
        return StoreUnavailable("The database cannot be reached. Try again later.")


_: type[Mover] = Clerk
