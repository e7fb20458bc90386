"""What the engine does with many requests, with clients that leave, and what it counts."""

import re

import pytest

from tests.contract.engine.exchange import QUESTION, Connection, Engine
from tests.support.real_engine import MAX_NUM_SEQS, RunningEngine

RUNNING = "vllm:num_requests_running"
WAITING = "vllm:num_requests_waiting"
LONG = {"max_tokens": 900, "ignore_eos": True}


def begin(engine: Engine, *, stream: bool, answers: int = 1) -> Connection:
    """Start a long generation and give its connection, the reply unread.

    Each answer counts as a request of its own. Many at once take a fast machine, too, longer than a look at it.
    """
    body = {"model": engine.model, "messages": QUESTION, "stream": stream, "n": answers, **LONG}
    connection = engine.connect()
    connection.send(engine.request("POST", "/v1/chat/completions", body))
    return connection


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_frees_its_place(engine: Engine, stream: bool):
    connection = begin(engine, stream=stream, answers=MAX_NUM_SEQS)
    engine.wait_for_metric(RUNNING, MAX_NUM_SEQS)
    connection.close()
    engine.wait_for_metric(RUNNING, 0)
    made = engine.metric("vllm:generation_tokens_total")
    assert engine.chat(max_tokens=1).status == 200
    assert engine.metric("vllm:generation_tokens_total") == made + 1


def test_more_than_fit_wait_and_a_waiting_client_that_leaves_is_forgotten(engine: Engine):
    running = [begin(engine, stream=True) for _ in range(MAX_NUM_SEQS)]
    engine.wait_for_metric(RUNNING, MAX_NUM_SEQS)
    waiting = begin(engine, stream=True)
    engine.wait_for_metric(WAITING, 1)
    waiting.close()
    engine.wait_for_metric(WAITING, 0)
    for connection in running:
        connection.close()
    engine.wait_for_metric(RUNNING, 0)


def test_the_counters_count_what_was_done(engine: Engine):
    before = engine.metrics()
    usage = engine.chat(max_tokens=5, ignore_eos=True).json["usage"]
    after = engine.metrics()

    def rise(name: str, more: str = "") -> float:
        return sum(
            value - before.get(series, 0)
            for series, value in after.items()
            if series.partition("{")[0] == name and more in series
        )

    assert rise("vllm:prompt_tokens_total") == usage["prompt_tokens"]
    assert rise("vllm:generation_tokens_total") == 5
    assert rise("vllm:request_success_total", 'finished_reason="length"') == 1
    assert rise("vllm:request_success_total", 'finished_reason="stop"') == 0
    assert rise("vllm:time_to_first_token_seconds_count") == 1
    assert rise("vllm:e2e_request_latency_seconds_count") == 1
    assert rise("vllm:inter_token_latency_seconds_count") == 4
    assert rise("vllm:iteration_tokens_total_count") >= 5


def test_a_client_that_leaves_is_no_success_of_any_kind(engine: Engine):
    before = engine.metric("vllm:request_success_total")
    connection = begin(engine, stream=True, answers=MAX_NUM_SEQS)
    engine.wait_for_metric(RUNNING, MAX_NUM_SEQS)
    connection.close()
    engine.wait_for_metric(RUNNING, 0)
    assert engine.metric("vllm:request_success_total") == before


def test_the_metrics_page_is_prometheus_text(engine: Engine):
    reply = engine.ask("GET", "/metrics")
    assert reply.header("content-type") == "text/plain; version=1.0.0; charset=utf-8"
    shape = re.compile(r'[a-zA-Z_:0-9]+(\{([a-z_]+="[^"]*",?)*\})? [-+0-9.einfNa]+')
    lines = [line for line in reply.body.decode().splitlines() if not line.startswith("#")]
    assert [line for line in lines if not shape.fullmatch(line)] == []


def series_of(engine: Engine) -> dict[str, set[str]]:
    """The names of an engine's metrics, each with its label names."""
    found: dict[str, set[str]] = {}
    for series in engine.metrics():
        name, _, labels = series.partition("{")
        if name.startswith("vllm:"):
            found.setdefault(name, set()).update(re.findall(r'([a-z_]+)="', labels))
    return found


@pytest.mark.real_engine
def test_every_metric_of_the_simulated_engine_is_one_of_the_real(
    simulated_engine: RunningEngine, real_engine: RunningEngine
):
    simulated, real = series_of(Engine(simulated_engine)), series_of(Engine(real_engine))
    assert set(simulated) <= set(real)
    info = "vllm:cache_config_info"
    assert simulated.pop(info) <= real[info]
    assert simulated == {name: labels for name, labels in real.items() if name in simulated}
