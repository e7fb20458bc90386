"""Records of the ledger, and places for rows that fail when they are told to."""

from __future__ import annotations

from typing import Any

from gateway.core.errors import StoreUnavailable
from gateway.core.outcome import End, Outcome, Usage
from gateway.ledger.records import Began, Ended, Progress, Record, Who, decode

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


class Rows:
    """Keeps rows by their id. While it is `away` it takes none, or takes them and says that it did not."""

    def __init__(self) -> None:
        self.kept: dict[str, Ended] = {}
        self.away = 0
        self.lies = 0

    async def add(self, rows: Any) -> None:
        if self.away:
            self.away -= 1
            raise StoreUnavailable("away")
        for row in rows:
            self.kept.setdefault(row.id, row)
        if self.lies:
            self.lies -= 1
            raise StoreUnavailable("gone after the commit")

    async def prune(self) -> None:
        pass
