"""Records of the ledger, and places for rows that fail when they are told to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gateway.core.errors import StoreUnavailable
from gateway.core.outcome import End, Outcome, Usage
from gateway.ledger.moving import Moved, Moving
from gateway.ledger.records import Began, Ended, Progress, Record, Who, decode
from gateway.ledger.rows import Away, Refused
from gateway.ledger.rows import Kept as Stay
from gateway.ledger.rows import Rows as KeptRows
from gateway.ledger.rows.opening import rows_at
from gateway.ledger.rows.shape import DAY
from gateway.store import Database

AT = 1_795_543_056.0
"""2026-11-24, in Unix seconds."""


def who(team: str = "team", **fields: Any) -> Who:
    return Who(
        **{
            "request_id": "req",
            "organisation": "default",
            "team": team,
            "user": "",
            "key_id": f"key-{team}",
            "model": "m",
            "operation": "chat",
            "tier": 1,
            "stream": True,
            **fields,
        }
    )


def began(id_: str, **fields: Any) -> Began:
    return Began(
        **{
            "id": id_,
            "at": AT,
            "who": who(request_id=f"req-{id_}"),
            "replica": "engine-0",
            "prompt_estimate": 10,
            "most_tokens": 100,
            **fields,
        }
    )


def ended(id_: str, **fields: Any) -> Ended:
    return Ended(
        **{
            "id": id_,
            "at": AT,
            "who": who(request_id=f"req-{id_}"),
            "outcome": "ok",
            "status": 200,
            "code": None,
            "replica": "engine-0",
            "attempts": 1,
            "prompt_tokens": 10,
            "cached_tokens": 2,
            "completion_tokens": 5,
            "estimated": False,
            "queue_ms": 1,
            "first_content_ms": 2,
            "total_ms": 3,
            **fields,
        }
    )


def end(**fields: Any) -> End:
    return End(
        **{
            "request_id": "req",
            "operation": "chat",
            "principal": None,
            "model": "m",
            "stream": True,
            "outcome": Outcome.OK,
            "status": 200,
            "code": None,
            "replica": "engine-0",
            "attempts": 1,
            "usage": Usage(7, 3, 1),
            "arrived": 1.0,
            "dispatched": 1.5,
            "first_content": 2.0,
            "ended": 3.0,
            **fields,
        }
    )


class Kept:
    """Keeps records in memory, as a spool does on disk."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.is_full = False

    def append(self, payload: bytes) -> None:
        self.records.append(decode(payload))

    @property
    def began(self) -> list[Began]:
        return [each for each in self.records if isinstance(each, Began)]

    @property
    def ended(self) -> list[Ended]:
        return [each for each in self.records if isinstance(each, Ended)]

    @property
    def progress(self) -> list[Progress]:
        return [each for each in self.records if isinstance(each, Progress)]

    def open(self) -> set[str]:
        """Ids of what began and did not end."""
        return {each.id for each in self.began} - {each.id for each in self.ended}


class UsageStore:
    """Brings rows to `database` as the clerk does, for tests that ask for them there. `now` gives Unix seconds."""

    def __init__(
        self, database: Database, *, retention_days: int, daily_retention_days: int, now: Callable[[], float]
    ) -> None:
        self._database = database
        self._kept = Stay(retention_days * DAY, daily_retention_days * DAY)
        self._now = now

    async def add(self, rows: Sequence[Ended]) -> None:
        await self._do(lambda store: store.add(rows))

    async def prune(self) -> None:
        await self._do(lambda store: store.prune(self._now()))

    async def _do(self, work: Callable[[KeptRows], None]) -> None:
        def do() -> None:
            store = rows_at(self._database.place, self._kept)
            try:
                work(store)
            finally:
                store.close()

        async with self._database.read():
            pass  # migrates it
        await asyncio.to_thread(do)


class Here:
    """A mover in this process, to rows that it is given. What is away is told of as the clerk tells it."""

    def __init__(self, folder: Path, rows: KeptRows) -> None:
        self._moving = Moving(folder, rows)
        self._rows = rows

    async def move(self, number: int, start: int, end: int) -> Moved:
        return self._told(lambda: self._moving.move(number, start, end))

    async def recover(self, numbers: Sequence[int]) -> Moved:
        return self._told(lambda: self._moving.recover(numbers))

    async def prune(self) -> Moved:
        return self._told(lambda: self._rows.prune(AT) or Moved())

    @staticmethod
    def _told(work: Callable[[], Moved]) -> Moved:
        try:
            return work()
        except Away as error:
            raise StoreUnavailable(str(error)) from error


class Rows:
    """Keeps rows by their id. While it is `away` it takes none, or takes them and says that it did not.

    It refuses those that `is_bad`.
    """

    def __init__(self) -> None:
        self.kept: dict[str, Ended] = {}
        self.away = 0
        self.lies = 0
        self.is_bad: Callable[[Ended], bool] = lambda _: False

    def add(self, rows: Sequence[Ended]) -> None:
        if self.away:
            self.away -= 1
            raise Away("away")
        if any(map(self.is_bad, rows)):
            raise Refused("bad")
        for row in rows:
            self.kept.setdefault(row.id, row)
        if self.lies:
            self.lies -= 1
            raise Away("gone after the commit")

    def prune(self, now: float) -> None:
        pass

    def close(self) -> None:
        pass
