"""Usage of everybody, for those whose role is over everything."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.core.call import Role
from tests.support.administration import Administration
from tests.support.usage import AT, UsageStore, ended, who

DAY = 86_400


@pytest.fixture
async def used(admin: Administration) -> Administration:
    store = UsageStore(admin.parts.database, retention_days=9, daily_retention_days=9, now=lambda: AT)
    rows = [
        ended("1", who=who("a")),
        ended("2", who=who("b")),
        ended("3", who=who("b", model="other"), outcome="upstream_error"),
        ended("4", who=who("a"), at=AT + DAY),
    ]
    await store.add(rows)
    return admin


async def asked(admin: Administration, **params: Any) -> Any:
    answer = await admin.ask("GET", "/admin/usage", Role.VIEWER, params=params)
    return answer.json()["data"] if answer.status_code == 200 else answer.json()["error"]


async def test_usage_is_summed_up_by_what_is_asked_for(used: Administration) -> None:
    span = {"start": int(AT) - DAY, "end": int(AT) + 2 * DAY}
    [whole] = await asked(used, **span)
    assert (whole["requests"], whole["failed"], whole["prompt_tokens"], whole["group"]) == (4, 1, 40, {})
    by_team = await asked(used, **span, by="team")
    assert [(each["group"], each["requests"]) for each in by_team] == [({"team": "a"}, 2), ({"team": "b"}, 2)]
    days = await asked(used, **span, width="day", team="a")
    assert [each["requests"] for each in days] == [1, 1]
    assert days[1]["start"] - days[0]["start"] == DAY
    hours = await asked(used, **span, width="hour", by=["team", "model"], team="b")
    assert [each["group"]["model"] for each in hours] == ["m", "other"]


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({"start": 5, "end": 5}, "end"),
        ({"start": -1}, "start"),
        ({"width": "week"}, "width"),
        ({"by": "prompt"}, "by.0"),
        ({"start": 0, "end": 10**9, "width": "hour"}, "start"),
        ({"start": 10**18}, "start"),
        ({"team": "a\0"}, "team"),
    ],
)
async def test_a_question_that_makes_no_sense_is_a_400(
    admin: Administration, params: dict[str, Any], param: str
) -> None:
    assert (await asked(admin, **params))["param"] == param
