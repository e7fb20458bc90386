"""`GET /v1/organization/costs`: what usage cost, in OpenAI's shape, of the caller's own team alone."""

import httpx
import pytest
from openai.types.admin.organization import UsageCostsResponse

from gateway.api import buckets
from gateway.api.control import bare
from gateway.api.costs import router
from gateway.ledger.rows.shape import day_of
from gateway.store import Database, sqlite
from tests.support.tokens import Callers
from tests.support.usage import AT, UsageStore, ended, who

START = day_of(AT)
DAY = 86_400
PATH = "/v1/organization/costs"


@pytest.fixture
async def ask(tmp_path):
    database = Database(sqlite(tmp_path / "c.db"))
    store = UsageStore(database, retention_days=10, daily_retention_days=30, now=lambda: AT)
    await store.add(
        [
            ended("a", who=who("red", organisation="lab", user="ann"), cost=1_000_000),
            ended("b", who=who("blue", organisation="lab", model="m2"), at=AT - DAY, cost=2_000_000),
            ended("c", who=who("red", organisation="other"), at=AT - 3600, cost=4_500_000),
            ended("d", who=who("red", organisation="lab", user="ann"), cost=None),
        ]
    )
    app = bare("test")
    app.include_router(router(database, Callers(), now=lambda: AT))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:

        async def get(caller, **query):
            headers = {} if caller is None else {"authorization": f"Bearer {caller}"}
            return await client.get(PATH, params={"start_time": START - DAY, **query}, headers=headers)

        yield get
    await database.close()


def spent(answer):
    return sum(line["amount"]["value"] for bucket in answer.json()["data"] for line in bucket["results"])


async def test_a_page_is_what_openais_client_reads(ask):
    page = (await ask("red", **{"group_by[]": ["project_id", "user_id", "line_item"]})).json()
    UsageCostsResponse.model_validate(page, strict=True)
    first, second = page["data"]
    assert (first["start_time"], first["end_time"], first["results"]) == (START - DAY, START, [])
    assert second["results"] == [
        {
            "object": "organization.costs.result",
            "amount": {"value": 1.0, "currency": None},
            "project_id": "red",
            "user_id": "ann",
            "api_key_id": None,
            "line_item": "m",
        }
    ]


@pytest.mark.parametrize(
    ("caller", "seen"),
    [("red", 1), ("blue", 2), ("blue//m", 0), ("blue//x/m", 2), ("green", 0), ("owner", 3), ("admin", 7.5)],
)
async def test_a_caller_sees_what_its_own_team_cost_and_an_administrator_what_it_reaches(ask, caller, seen):
    assert spent(await ask(caller)) == seen


@pytest.mark.parametrize("brackets", ["", "[]"])
@pytest.mark.parametrize(
    ("name", "value", "seen"),
    [("project_ids", "blue", 2), ("api_key_ids", "key-red", 5.5), ("line_items", "m2", 2)],
)
async def test_names_narrow_it_down(ask, brackets, name, value, seen):
    assert spent(await ask("admin", **{name + brackets: value})) == seen


async def test_asking_for_another_team_gives_nothing_of_it(ask):
    for name in ("project_ids", "project_ids[]"):
        assert spent(await ask("red", **{name: "blue"})) == 0


async def test_pages_lead_through_all_of_it_once(ask):
    first = await ask("admin", limit=1)
    second = await ask("admin", limit=1, page=first.json()["next_page"])
    assert (spent(first), spent(second), second.json()["has_more"]) == (2, 5.5, False)


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"start_time": "x"}, "start_time"),
        ({"bucket_width": "1h"}, "bucket_width"),
        ({"group_by": "api_source"}, "group_by"),
        ({"limit": 181}, "limit"),
        ({"limit": 0}, "limit"),
        ({"page": "7"}, "page"),
        ({"end_time": 5}, "end_time"),
        ({"line_items[]": "a\0"}, "line_items"),
        ({"line_items[]": ["m"] * 101}, "line_items"),
    ],
)
async def test_what_cannot_be_asked_is_refused_by_name(ask, query, param):
    answer = await ask("red", **query)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param


@pytest.mark.parametrize(("caller", "status"), [(None, 401), ("red/chat", 403), ("red/usage,chat", 200)])
async def test_it_is_for_the_keys_that_may_see_usage(ask, caller, status):
    assert (await ask(caller)).status_code == status


async def test_a_question_with_too_many_lines_is_refused(ask, monkeypatch):
    monkeypatch.setattr(buckets, "MOST_LINES", 1)
    answer = await ask("admin")
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "limit")
