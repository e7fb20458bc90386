"""A record as the row that it becomes, and what rows add to the sums of days and months."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from gateway.core.outcome import Outcome
from gateway.ledger.records import Ended

DAY = 86_400
_WELL = frozenset({Outcome.OK.value, Outcome.CLIENT_ERROR.value, Outcome.CLIENT_GONE.value})
"""Outcomes that are no failure of ours or of an engine."""

Row = tuple[object, ...]


def row_of(record: Ended) -> Row:
    """In the order of `sql.COLUMNS`."""
    who = record.who
    return (
        record.id,
        who.request_id,
        int(record.at),
        who.organisation,
        who.team,
        who.user,
        who.key_id,
        who.model,
        who.operation,
        who.tier,
        who.stream,
        record.outcome,
        record.status,
        record.code,
        record.replica,
        record.attempts,
        record.prompt_tokens,
        record.cached_tokens,
        record.completion_tokens,
        record.estimated,
        record.queue_ms,
        record.first_content_ms,
        record.total_ms,
        who.asked or None,
        record.cost,
    )


def sums_of(records: Sequence[Ended]) -> dict[str, list[Row]]:
    """Table of sums → what to add to it, in the order of `sql.KEYS` and `sql.SUMS`.

    Sorted: two gateways that add to the same sums at once then take their locks in one order.
    """
    daily: dict[Row, list[int]] = {}
    for record in records:
        who = record.who
        key = (int(record.at) // DAY * DAY, who.organisation, who.team, who.user, who.key_id, who.model)
        sums = daily.get(key)
        if sums is None:
            sums = daily[key] = [0, 0, 0, 0, 0, 0, 0]
        sums[0] += 1
        sums[1] += record.outcome not in _WELL
        sums[2] += record.prompt_tokens
        sums[3] += record.cached_tokens
        sums[4] += record.completion_tokens
        sums[5] += record.estimated
        sums[6] += record.cost or 0
    monthly: dict[Row, list[int]] = {}
    for (day, *rest), sums in daily.items():
        assert isinstance(day, int)  # noqa: S101 - made above
        month = monthly.setdefault((month_of(day), *rest), [0] * len(sums))
        for index, value in enumerate(sums):
            month[index] += value
    return {
        table: sorted((*key, *sums) for key, sums in found.items())
        for table, found in (("usage_daily", daily), ("usage_monthly", monthly))
    }


def day_of(at: float) -> int:
    """The first second of the day, in UTC, in which `at` lies."""
    return int(at) // DAY * DAY


def month_of(at: float) -> int:
    """The first second of the month, in UTC, in which `at` lies."""
    moment = datetime.fromtimestamp(at, UTC)
    return int(moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0).timestamp())
