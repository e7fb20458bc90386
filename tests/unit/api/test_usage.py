"""`GET /v1/organization/usage/completions`: OpenAI's shape, of the caller's own team alone."""

import httpx
import pytest
from openai.types.admin.organization import UsageCompletionsResponse

from gateway.api import buckets
from gateway.api.control import bare
from gateway.api.usage import router
from gateway.ledger.rows.shape import day_of
from gateway.store import Database, sqlite
from tests.support.tokens import Callers
from tests.support.usage import AT, UsageStore, ended, who

START = day_of(AT)
DAY = 86_400
PATH = "/v1/organization/usage/completions"


@pytest.fixture
async def ask(tmp_path):
    database = Database(sqlite(tmp_path / "c.db"))
    store = UsageStore(database, retention_days=10, daily_retention_days=30, now=lambda: AT)
    await store.add(
        [
            ended("a", who=who("red", organisation="lab", user="ann")),
            ended("b", who=who("blue", organisation="lab", model="m2"), at=AT - DAY),
            ended("c", who=who("red", organisation="other"), at=AT - 3600),
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


def requests(page):
    return sum(line["num_model_requests"] for bucket in page["data"] for line in bucket["results"])


async def test_a_page_is_what_openais_client_reads(ask):
    page = (await ask("red", group_by=["project_id", "user_id", "model"])).json()
    UsageCompletionsResponse.model_validate(page, strict=True)
    first, second = page["data"]
    assert (first["start_time"], first["end_time"], first["results"]) == (START - DAY, START, [])
    assert second["results"] == [
        {
            "object": "organization.usage.completions.result",
            "input_tokens": 10,
            "output_tokens": 5,
            "input_cached_tokens": 2,
            "num_model_requests": 1,
            "project_id": "red",
            "user_id": "ann",
            "api_key_id": None,
            "model": "m",
            "batch": None,
        }
    ]
    assert (page["has_more"], page["next_page"]) == (False, None)


@pytest.mark.parametrize(
    ("caller", "seen"), [("red", 1), ("blue", 1), ("green", 0), ("owner", 2), ("admin", 3)]
)
async def test_a_caller_sees_its_own_team_and_an_administrator_what_it_reaches(ask, caller, seen):
    assert requests((await ask(caller)).json()) == seen


async def test_asking_for_another_team_gives_nothing_of_it(ask):
    assert requests((await ask("red", project_ids="blue")).json()) == 0
    assert requests((await ask("admin", project_ids="blue")).json()) == 1


@pytest.mark.parametrize(("name", "value"), [("project_ids", "blue"), ("models", "m2"), ("user_ids", "ann")])
async def test_lists_count_as_openais_clients_write_them(ask, name, value):
    assert requests((await ask("admin", **{f"{name}[]": value})).json()) == 1


@pytest.mark.parametrize("width", ["1m", "1h", "1d"])
async def test_pages_lead_through_all_of_it_once(ask, width):
    page, seen, starts = None, 0, []
    while True:
        found = (
            await ask("admin", bucket_width=width, limit=31, **({} if page is None else {"page": page}))
        ).json()
        seen += requests(found)
        starts += [bucket["start_time"] for bucket in found["data"]]
        page = found["next_page"]
        if page is None:
            break
    assert seen == 3
    assert starts == sorted(set(starts))


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"start_time": "x"}, "start_time"),
        ({"start_time": -1}, "start_time"),
        ({"bucket_width": "1w"}, "bucket_width"),
        ({"group_by": "colour"}, "group_by"),
        ({"limit": 32}, "limit"),
        ({"limit": 0}, "limit"),
        ({"page": "page_x"}, "page"),
        ({"page": "7"}, "page"),
        ({"end_time": 5}, "end_time"),
        ({"user_ids": "a\0"}, "user_ids"),
        ({"models": ["m", "\0"]}, "models"),
        ({"models[]": ["m"] * 101}, "models"),
    ],
)
async def test_what_cannot_be_asked_is_refused_by_name(ask, query, param):
    answer = await ask("red", **query)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param


@pytest.mark.parametrize(
    ("caller", "status"), [("red/chat", 403), ("red/models,chat", 403), ("red/usage,chat", 200), ("red", 200)]
)
async def test_a_key_for_some_operations_needs_this_one_among_them(ask, caller, status):
    assert (await ask(caller)).status_code == status


@pytest.mark.parametrize(
    ("caller", "seen"),
    [
        ("blue//m", 0),
        ("blue//m2", 1),
        ("blue//m,m2", 1),
        ("blue//x/m", 1),
        ("blue//x/n/m2", 1),
        ("blue//x/n", 0),
    ],
)
async def test_a_key_for_some_models_sees_no_others(ask, caller, seen):
    assert requests((await ask(caller)).json()) == seen


async def test_a_question_with_too_many_lines_is_refused_and_a_narrower_one_answered(ask, monkeypatch):
    monkeypatch.setattr(buckets, "MOST_LINES", 1)
    refused = await ask("admin")
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "limit")
    assert (await ask("admin", limit=1)).status_code == 200


def test_each_line_is_looked_at_once_however_many_buckets_there_are():
    looks = 0

    class Line:
        @property
        def start(self):
            nonlocal looks
            looks += 1
            return 0

    page = buckets.Page(range(0, 60_000, 60), has_more=False)
    buckets.encoded(page, [Line() for _ in range(10)], lambda _: {})
    assert looks == 10


async def test_without_a_key_there_is_nothing(ask):
    assert (await ask(None)).status_code == 401


async def test_a_database_that_is_away_is_said_in_the_apis_shape(tmp_path):
    (tmp_path / "c.db").write_text("no database" * 100)
    app = bare("test")
    app.include_router(router(Database(sqlite(tmp_path / "c.db")), Callers(), now=lambda: AT))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as client:
        answer = await client.get(PATH, params={"start_time": START}, headers={"authorization": "Bearer red"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "store_unavailable")
