"""An engine in the test's own loop: limits, leaving clients, its end, its log, its control routes."""

import asyncio
import json

import httpx
import pytest

from engines.simulated import Options, SimulatedEngine
from tests.unit.engines.simulated.conftest import BODY, CHAT

LONG = {"max_tokens": 2000, "ignore_eos": True}


async def test_a_client_that_leaves_frees_its_place_at_once(serve):
    session = await serve(itl_ms=1)
    request = asyncio.create_task(session.chat(**LONG))
    await session.until(lambda: session.engine.running == 1)
    request.cancel()
    await session.until(lambda: session.engine.running == 0)
    [record] = session.engine.log
    assert record.end == "aborted"
    assert record.tokens_sent < 2000


async def test_over_the_running_limit_requests_wait_and_over_the_queue_limit_they_are_refused(serve):
    session = await serve(Options(max_num_seqs=1, max_num_queued_reqs=1), itl_ms=1)
    first, second = (asyncio.create_task(session.chat(**LONG)) for _ in range(2))
    await session.until(lambda: session.engine.running == 1 and session.engine.waiting == 1)
    assert (await session.chat()).status_code == 503
    page = (await session.client.get("/metrics")).text
    assert 'admission_rejections_total{model_name="simulated",reason="max_num_queued_reqs"} 1.0' in page
    for request in (first, second):
        request.cancel()
    await session.until(lambda: session.engine.running == 0)


async def test_the_choices_of_one_request_take_a_place_each(serve):
    session = await serve(Options(max_num_seqs=2), itl_ms=1)
    request = asyncio.create_task(session.chat(n=3, **LONG))
    await session.until(lambda: (session.engine.running, session.engine.waiting) == (2, 1))
    request.cancel()
    await session.until(lambda: (session.engine.running, session.engine.waiting) == (0, 0))


async def test_a_client_that_reads_slowly_gets_fewer_and_larger_events(serve):
    session = await serve(Options(max_model_len=9000), multibyte=0.5)
    reader, writer = await asyncio.open_unix_connection(
        session.engine.address.removeprefix("unix:"), limit=1024
    )
    body = json.dumps({**BODY, "stream": True, "max_tokens": 4000, "ignore_eos": True}).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
    writer.write(head.encode() + body)
    await session.until(lambda: len(session.engine.log) == 1 and session.engine.log[0].tokens_sent == 4000)
    sent_unread = session.engine.log[0].events_sent
    received = await reader.read(-1)
    writer.close()
    events = [line for line in received.split(b"\r\n") if line.startswith(b'data: {"id"')]
    text = "".join(json.loads(e.strip()[6:])["choices"][0]["delta"].get("content", "") for e in events)
    assert len(text.split()) == 4000
    assert sent_unread < len(events) < 3900
    assert b"data: [DONE]" in received


async def test_every_token_is_an_event_of_its_own_and_a_tools_name_comes_before_its_arguments(serve):
    session = await serve(tokens=3)
    content = [
        json.loads(e[6:])["choices"][0]["delta"]
        for e in (await session.chat(stream=True)).text.split("\n\n")[:-2]
    ]
    assert content == [
        {"role": "assistant", "content": ""},
        {"content": "one"},
        {"content": " two"},
        {"content": " three"},
        {},
    ]
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    called = (await session.chat(stream=True, tools=tools)).text.split("\n\n")[1:-2]
    calls = [json.loads(event[6:])["choices"][0]["delta"].get("tool_calls") for event in called]
    assert [call and call[0]["function"] for call in calls] == [{"name": "f"}, {"arguments": "{}"}, None]


@pytest.mark.parametrize("stream", [True, False])
async def test_stopped_without_a_timeout_everything_under_way_fails_as_it_does_in_vllm(serve, stream):
    session = await serve(itl_ms=1)
    request = asyncio.create_task(session.chat(stream=stream, **LONG))
    await session.until(lambda: session.engine.running == 1)
    await session.engine.shut_down()
    response = await request
    assert "EngineCore encountered an issue" in response.text
    assert response.status_code == (200 if stream else 500)
    assert response.text.endswith("data: [DONE]\n\n") is stream
    with pytest.raises(httpx.TransportError):
        await session.chat()
    assert session.engine.log[0].end == "stopped"


async def test_stopped_with_a_timeout_what_is_under_way_may_finish_and_new_work_gets_500(serve):
    session = await serve(Options(shutdown_timeout=20), itl_ms=1)
    request = asyncio.create_task(session.chat(max_tokens=100, ignore_eos=True))
    await session.until(lambda: session.engine.running == 1)
    stopping = asyncio.create_task(session.engine.shut_down())
    await session.until(lambda: session.engine.service.generator.is_draining)
    late = await session.chat()
    assert (late.status_code, late.json()["error"]["message"]) == (
        500,
        "cannot schedule new futures after shutdown",
    )
    assert (await session.client.get("/health")).status_code == 200
    assert (await request).json()["usage"]["completion_tokens"] == 100
    await stopping


async def test_a_drain_that_takes_too_long_ends_as_without_one(serve):
    session = await serve(Options(shutdown_timeout=0.02), itl_ms=1)
    request = asyncio.create_task(session.chat(**LONG))
    await session.until(lambda: session.engine.running == 1)
    await session.engine.shut_down()
    assert (await request).status_code == 500


async def test_an_idle_connection_is_closed_after_its_time(serve):
    session = await serve(Options(keep_alive=0.02))
    await session.chat()
    assert session.engine.connections == 1
    await session.until(lambda: session.engine.connections == 0)


async def test_the_log_tells_what_came_and_how_it_ended(serve):
    session = await serve()
    await session.client.post(CHAT, json=BODY, headers={"x-request-id": "abc", "authorization": "Bearer k"})
    await session.chat(model="other")
    told = (await session.client.get("/sim/log")).json()
    first, second = told["records"]
    assert (first["request_id"], first["model"], first["end"], first["tokens_sent"]) == (
        "abc",
        "simulated",
        "finished",
        17,
    )
    assert json.loads(first["body"]) == BODY
    assert first["headers"]["authorization"] == "Bearer k"
    assert (second["status"], second["end"]) == (404, "refused")
    assert told["dropped"] == 0


async def test_the_log_says_how_many_older_records_it_dropped(serve):
    session = await serve(Options(journal_records=2))
    for _ in range(5):
        await session.chat()
    assert (len(session.engine.log), session.engine.log.dropped) == (2, 3)


async def test_a_large_body_is_told_by_its_hash_alone(serve):
    session = await serve(Options(max_model_len=100_000))
    await session.chat(messages=[{"role": "user", "content": "x" * 20_000}])
    [record] = (await session.client.get("/sim/log")).json()["records"]
    assert record["body"] is None
    assert record["body_bytes"] > 20_000
    assert len(record["body_sha256"]) == 64


async def test_the_script_is_changed_from_outside_and_reset(serve):
    session = await serve(tokens=4)
    changed = await session.client.post("/sim/script", json={"tokens": 2})
    assert changed.json()["tokens"] == 2
    assert (await session.chat()).json()["usage"]["completion_tokens"] == 3
    assert (await session.client.post("/sim/script", json={"nonsense": 2})).status_code == 400
    await session.client.post("/sim/reset")
    assert (await session.client.get("/sim/script")).json()["tokens"] == 4
    assert len(session.engine.log) == 0


async def test_the_control_routes_need_the_key_when_there_is_one(serve):
    session = await serve(Options(api_keys=("k",)))
    assert (await session.client.get("/sim/log")).status_code == 401
    headers = {"authorization": "Bearer k"}
    assert (await session.client.get("/sim/log", headers=headers)).status_code == 200


async def test_without_a_parser_the_last_delta_is_an_empty_text(serve):
    session = await serve(Options(has_parser=False, auto_tool_choice=False))
    text = (await session.chat(stream=True)).text
    assert '"delta":{"content":""},"logprobs":null,"finish_reason":"stop"' in text
    tools = [{"type": "function", "function": {"name": "f"}}]
    assert "requires --enable-auto-tool-choice" in (await session.chat(tools=tools)).text


async def test_an_engine_that_does_not_serve_has_no_inside():
    with pytest.raises(RuntimeError, match="does not serve"):
        _ = SimulatedEngine().log


async def test_a_request_sent_ahead_of_a_stream_waits_for_its_end(serve):
    session = await serve(itl_ms=1, tokens=3)
    reader, writer = await asyncio.open_unix_connection(session.engine.address.removeprefix("unix:"))
    body = json.dumps({**BODY, "stream": True}).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body + b"GET /version HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    received = await reader.read(-1)
    writer.close()
    assert received.index(b"data: [DONE]") < received.index(b'{"version"')
