"""Questions about usage: sums by time and by whose it was, from the database.

Days and months come from the sums that are kept long, shorter stretches from the single rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from gateway.ledger.sql import SUMS
from gateway.store import Database

DAY = 86_400
_AT_ONCE = 1000
"""Parameters of one statement: databases take some thousands."""
GROUPS = ("organisation", "team", "user", "key_id", "model")
"""What usage can be told apart by."""


@dataclass(frozen=True, slots=True)
class Question:
    """What to sum up. Times in Unix seconds, `start` and those up to `end`, which is not in it."""

    start: int
    end: int
    width: int | None = None
    """Seconds of one bucket, counted from the epoch; `None` for all in one, from the sums of days."""
    by: tuple[str, ...] = ()
    """Of `GROUPS`."""
    only: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Group → the values that count."""
    models: Sequence[str] | None = None
    """The models that count besides those that begin with one of `model_prefixes`; `None` for all."""
    model_prefixes: Sequence[str] = ()
    most: int | None = None
    """Lines at most."""


class Line(NamedTuple):
    """One sum."""

    start: int
    """When its bucket begins."""
    group: tuple[str, ...]
    """In the order of `Question.by`."""
    requests: int
    failed: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    estimated: int
    """Requests whose tokens are estimates."""
    cost: int
    """In millionths of the currency that prices are in, of requests whose model has one."""


async def answer(database: Database, question: Question) -> list[Line]:
    """The sums, by time and then by group. Raises `StoreUnavailable`, and `ValueError` for a group that is none."""
    statement, parameters = _statement(question)
    async with database.read() as connection:
        from sqlalchemy import text  # noqa: PLC0415 - loaded since the database is open

        rows = await connection.execute(text(statement), parameters)
        size = len(question.by)
        return [
            Line(int(row[0]), tuple(row[1 : 1 + size]), *(int(value) for value in row[1 + size :]))
            for row in rows
        ]


async def known(database: Database, ids: Sequence[str]) -> frozenset[str]:
    """Those of `ids` whose rows are there. Raises `StoreUnavailable`."""
    found: set[str] = set()
    for start in range(0, len(ids), _AT_ONCE):
        part = ids[start : start + _AT_ONCE]
        marks = ", ".join(f":id{number}" for number in range(len(part)))
        async with database.read() as connection:
            from sqlalchemy import text  # noqa: PLC0415 - loaded since the database is open

            rows = await connection.execute(
                text(f'SELECT id FROM "usage" WHERE id IN ({marks})'),  # noqa: S608 - names of parameters
                {f"id{number}": each for number, each in enumerate(part)},
            )
            found.update(str(row[0]) for row in rows)
    return frozenset(found)


def _statement(question: Question) -> tuple[str, dict[str, object]]:
    """Names are of `GROUPS`, values are parameters."""
    for name in {*question.by, *question.only}:
        if name not in GROUPS:
            raise ValueError(f"usage is not told apart by '{name}'")
    width = question.width
    is_daily = width is None or width % DAY == 0
    at = '"start"' if is_daily else "ended"
    start = "0" if width is None else f"{at} - {at} % {width}"
    columns = [f'"{name}"' for name in question.by]
    where = [f"{at} >= :since", f"{at} < :until"]
    parameters: dict[str, object] = {"since": question.start, "until": question.end}
    for name, values in question.only.items():
        marks = []
        for value in values:
            marks.append(f":only{len(parameters)}")
            parameters[f"only{len(parameters)}"] = value
        where.append(f'"{name}" IN ({", ".join(marks)})' if marks else "1 = 0")
    if question.models is not None:
        allowed = ["1 = 0"]
        for number, model in enumerate(question.models):
            allowed.append(f'"model" = :model{number}')
            parameters[f"model{number}"] = model
        for number, prefix in enumerate(question.model_prefixes):
            allowed.append(f'substr("model", 1, {len(prefix)}) = :prefix{number}')
            parameters[f"prefix{number}"] = prefix
        where.append(f"({' OR '.join(allowed)})")
    groups = ", ".join(str(number) for number in range(1, len(columns) + 2))
    table = "usage_daily" if is_daily else '"usage"'
    select = ", ".join([start, *columns, _sums(is_daily=is_daily)])
    conditions = " AND ".join(where)
    statement = f"SELECT {select} FROM {table} WHERE {conditions} GROUP BY {groups} ORDER BY {groups}"  # noqa: S608 - see above
    if question.most is not None:
        statement += f" LIMIT {question.most:d}"
    return statement, parameters


def _sums(*, is_daily: bool) -> str:
    if is_daily:
        return ", ".join(f'sum("{name}")' for name in SUMS)
    well = "'ok', 'client_error', 'client_gone'"
    return (
        f"count(*), sum(CASE WHEN outcome IN ({well}) THEN 0 ELSE 1 END), sum(prompt_tokens), "
        "sum(cached_tokens), sum(completion_tokens), sum(CASE WHEN estimated THEN 1 ELSE 0 END), "
        "coalesce(sum(cost), 0)"
    )
