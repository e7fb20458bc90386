from __future__ import annotations

import httpx
import pytest

from engines.launch.address import TcpPort
from engines.launch.progress import LAST_PHASE
from engines.launch.ready import NeverReady, client, in_flight, until_ready

COMPLETION = {"choices": [{"text": "."}]}
MODELS = {"data": [{"id": "tiny"}, {"id": "small"}]}


class Engine:
    """Answers each path with the next of its answers; the last one stays. `None` is a refused connection."""

    def __init__(self, **answers: list[httpx.Response | None]) -> None:
        self.answers = {
            "/health": answers.get("health", [httpx.Response(200)]),
            "/v1/models": answers.get("models", [httpx.Response(200, json=MODELS)]),
            "/v1/completions": answers.get("completions", [httpx.Response(200, json=COMPLETION)]),
            "/metrics": answers.get("metrics", [httpx.Response(200)]),
        }
        self.asked: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.url.path)
        answers = self.answers[request.url.path]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if answer is None:
            raise httpx.ConnectError("refused", request=request)
        return answer


async def ask(engine: Engine, *models: str) -> list[str]:
    phases: list[str] = []
    async with httpx.AsyncClient(transport=httpx.MockTransport(engine), base_url="http://engine") as worker:
        await until_ready(worker, models or ("tiny",), phases.append)
    return phases


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engines.launch.ready.POLL_S", 0)


async def test_ready_is_health_then_identity_then_a_token():
    engine = Engine(health=[None, None, httpx.Response(503), httpx.Response(200)])
    assert await ask(engine, "tiny", "small") == [LAST_PHASE]
    assert engine.asked == ["/health"] * 4 + ["/v1/models", "/v1/completions"]


async def test_a_healthy_engine_that_makes_no_token_is_not_ready():
    engine = Engine(completions=[httpx.Response(500), None, httpx.Response(200, json=COMPLETION)])
    await ask(engine)
    assert engine.asked.count("/v1/completions") == 3


@pytest.mark.parametrize(
    ("engine", "reason"),
    [
        (
            Engine(models=[httpx.Response(200, json={"data": [{"id": "other"}]})]),
            r"it serves \['other'\], not \['tiny'\]",
        ),
        (Engine(models=[httpx.Response(401, json={"error": "Unauthorized"})]), "GET /v1/models answered 401"),
        (Engine(models=[httpx.Response(200, text="<html>")]), "GET /v1/models answered 200: <html>"),
        (
            Engine(completions=[httpx.Response(404, json={"detail": "Not Found"})]),
            "POST /v1/completions answered 404",
        ),
        (
            Engine(completions=[httpx.Response(200, json={"choices": []})]),
            "POST /v1/completions answered 200",
        ),
    ],
)
async def test_an_engine_that_is_not_the_one_started_is_never_ready(engine: Engine, reason: str):
    with pytest.raises(NeverReady, match=reason):
        await ask(engine)


METRICS = b"""# HELP vllm:num_requests_running Number of requests in model execution batches.
vllm:num_requests_running{engine="0",model_name="tiny"} 2.0
vllm:num_requests_waiting{engine="0",model_name="tiny"} 1.0
vllm:num_requests_waiting_by_reason{engine="0",model_name="tiny",reason="capacity"} 1.0
vllm:num_requests_running{engine="1",model_name="tiny"} 3.0
"""


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (httpx.Response(200, content=METRICS), 6),
        (httpx.Response(200, content=b""), None),
        (httpx.Response(500), None),
        (None, None),
    ],
)
async def test_requests_in_flight_are_those_running_and_waiting_on_all_ranks(
    answer: httpx.Response | None, expected: int | None
):
    transport = httpx.MockTransport(Engine(metrics=[answer]))
    async with httpx.AsyncClient(transport=transport, base_url="http://engine") as worker:
        assert await in_flight(worker) == expected


async def test_the_client_sends_the_workers_key_and_uses_no_proxy(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    async with client(TcpPort(7001), "secret") as worker:
        assert worker.headers["authorization"] == "Bearer secret"
        assert str(worker.base_url) == "http://127.0.0.1:7001"
        assert not worker.trust_env
