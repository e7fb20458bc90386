"""Every fault as a client sees it, and what the engine's own log says of it."""

import asyncio
import json
import socket

import httpx
import pytest

from engines.simulated import FaultKind, Options
from tests.unit.engines.simulated.conftest import BODY, CHAT

BROKEN = (httpx.RemoteProtocolError, httpx.ReadError)


def frames(response: httpx.Response) -> list[str]:
    return response.text.split("\n\n")


@pytest.mark.parametrize("kind", ["reset", "close", "short_body"])
async def test_a_connection_that_ends_in_the_middle_of_a_stream(serve, kind):
    session = await serve()
    session.engine.fault(kind, after_events=2)
    with pytest.raises(BROKEN):
        await session.chat(stream=True)
    [record] = session.engine.log
    assert (record.end, record.fault, record.events_sent) == ("fault", kind, 2)
    assert session.engine.running == 0


async def test_events_before_the_fault_reach_the_client(serve):
    session = await serve()
    session.engine.fault("close", after_events=3)
    request = session.client.build_request("POST", CHAT, json={**BODY, "stream": True})
    response = await session.client.send(request, stream=True)
    lines = response.aiter_lines()
    seen = [await anext(lines) for _ in range(6)]
    assert sum(line.startswith("data: ") for line in seen) == 3
    with pytest.raises(BROKEN):
        await anext(lines)
    await response.aclose()


@pytest.mark.parametrize("kind", ["reset", "close", "short_body"])
async def test_a_plain_answer_that_never_comes_whole(serve, kind):
    session = await serve()
    session.engine.fault(kind, after_events=1)
    with pytest.raises(BROKEN):
        await session.chat()
    assert session.engine.log[0].end == "fault"


async def test_a_reset_over_tcp_is_a_reset(serve):
    session = await serve(tcp=True)
    session.engine.fault("reset", after_events=1)
    host, port = session.engine.address.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    body = json.dumps({**BODY, "stream": True}).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    with pytest.raises(ConnectionResetError):
        await reader.read(-1)
    writer.close()


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("at_byte", [1, 17, 300])
async def test_exactly_as_many_bytes_as_told(serve, stream, at_byte):
    session = await serve()
    session.engine.fault("close", at_byte=at_byte)
    path = session.engine.address.removeprefix("unix:")
    reader, writer = await asyncio.open_unix_connection(path)
    body = json.dumps({**BODY, "stream": stream}).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    assert len(await reader.read(-1)) == at_byte
    writer.close()


@pytest.mark.parametrize("at", ["arrival", "headers", "events"])
async def test_a_hang_holds_its_place_until_the_client_goes(serve, at):
    session = await serve(Options(max_num_seqs=1))
    session.engine.fault("hang", at=at, after_events=2, times=1)
    request = asyncio.create_task(session.chat(stream=True))
    await session.until(lambda: len(session.engine.log) == 1 and session.engine.log[0].fault == "hang")
    await asyncio.sleep(0.02)
    assert not request.done()
    assert session.engine.running == (0 if at == "arrival" else 1)
    request.cancel()
    await session.until(lambda: session.engine.log[0].end == "aborted")
    assert session.engine.running == 0
    assert (await session.chat()).status_code == 200


@pytest.mark.parametrize("at", ["arrival", "headers", "events"])
async def test_a_death_takes_everything_with_it(serve, at):
    session = await serve(itl_ms=1)
    other = asyncio.create_task(session.chat(stream=True, max_tokens=1000, ignore_eos=True))
    await session.until(lambda: session.engine.running == 1)
    session.engine.fault("die", at=at, after_events=2, code=7)
    with pytest.raises(BROKEN):
        await session.chat(stream=True)
    with pytest.raises(BROKEN):
        await other
    assert session.engine.exit_code == 7
    with pytest.raises(httpx.TransportError):
        await session.chat()


async def test_a_stream_that_ends_early_looks_well(serve):
    session = await serve()
    session.engine.fault("early_end", after_events=3)
    response = await session.chat(stream=True)
    assert len(frames(response)) == 4
    assert "[DONE]" not in response.text
    assert '"finish_reason":"' not in response.text


@pytest.mark.parametrize("after", [0, 2])
async def test_an_error_event_is_followed_by_done(serve, after):
    session = await serve()
    session.engine.fault("error_event", after_events=after)
    response = await session.chat(stream=True)
    *content, error, done, rest = frames(response)
    assert (len(content), done, rest) == (after, "data: [DONE]", "")
    assert error.startswith('data: {"error": {"message": "EngineCore encountered an issue.')
    assert response.status_code == 200


async def test_a_status_with_a_body_and_headers(serve):
    session = await serve()
    session.engine.fault("status", status=429, body="slow down", headers={"retry-after": "3"}, times=1)
    response = await session.chat()
    assert (response.status_code, response.text, response.headers["retry-after"]) == (429, "slow down", "3")
    assert (await session.chat()).status_code == 200


async def test_a_health_check_may_fail_alone(serve):
    session = await serve()
    session.engine.fault("status", path="/health", status=503)
    assert (await session.client.get("/health")).status_code == 503
    assert (await session.chat()).status_code == 200


@pytest.mark.parametrize("stream", [True, False])
async def test_a_full_queue_as_503_and_as_an_event_under_200(serve, stream):
    session = await serve()
    session.engine.fault("queue_full", times=1)
    response = await session.chat(stream=stream)
    assert (response.status_code, response.json()["error"]["type"]) == (503, "Service Unavailable")
    session.engine.fault("queue_full", in_stream=True, times=1)
    response = await session.chat(stream=stream)
    assert response.status_code == (200 if stream else 503)
    assert "currently busy" in response.text


@pytest.mark.parametrize("kind", ["broken_json", "not_utf8"])
@pytest.mark.parametrize("stream", [True, False])
async def test_garbage_cannot_be_read(serve, kind, stream):
    session = await serve()
    session.engine.fault(kind, after_events=2)
    content = (await session.chat(stream=stream)).content
    parts = content.split(b"\n\n") if stream else [content]
    bad = 0
    for part in parts:
        try:
            json.loads(part.removeprefix(b"data: ").decode() or "0") if b"[DONE]" not in part else None
        except ValueError:
            bad += 1
    assert bad == 1


async def test_a_huge_line(serve):
    session = await serve()
    session.engine.fault("huge_line", after_events=1, size_bytes=1 << 20)
    assert max(map(len, frames(await session.chat(stream=True)))) > 1 << 20


@pytest.mark.parametrize("stream", [True, False])
async def test_a_page_an_error_or_a_wrong_type_under_200(serve, stream):
    session = await serve()
    session.engine.fault("html", times=1)
    page = await session.chat(stream=stream)
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    session.engine.fault("error_body", times=1)
    error = await session.chat(stream=stream)
    assert (error.status_code, error.json()["error"]["code"]) == (200, 500)
    session.engine.fault("wrong_content_type", times=1)
    assert (await session.chat(stream=stream)).headers["content-type"] == "text/plain"


async def test_events_after_done(serve):
    session = await serve()
    session.engine.fault("after_done")
    parts = frames(await session.chat(stream=True))
    assert parts.count("data: [DONE]") == 2
    assert parts[-2] == "data: [DONE]"
    assert parts[parts.index("data: [DONE]") + 1].startswith('data: {"id"')


async def test_done_said_twice(serve):
    session = await serve()
    session.engine.fault("tamper", what="second_done")
    assert frames(await session.chat(stream=True))[-3:] == ["data: [DONE]", "data: [DONE]", ""]


async def test_an_endless_stream_goes_on_until_the_client_goes(serve):
    session = await serve()
    session.engine.fault("endless", after_events=2)
    events = 0
    async with session.client.stream(
        "POST", CHAT, json={**BODY, "stream": True, "max_tokens": 1}
    ) as response:
        async for line in response.aiter_lines():
            events += line.startswith("data: ")
            if events > 50:
                break
    await session.until(lambda: session.engine.running == 0 and session.engine.connections == 0)
    assert session.engine.log[0].end == "aborted"


@pytest.mark.parametrize(
    ("what", "is_there", "is_not"),
    [
        ("usage_missing", '"choices"', '"usage"'),
        ("usage_negative", '"completion_tokens":-', '"completion_tokens":1'),
        ("wrong_model", '"model":"another-model"', '"model":"simulated"'),
        ("wrong_id", '"id":"chatcmpl-another"', "zzz"),
        ("no_finish_reason", '"finish_reason":null', '"finish_reason":"stop"'),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
async def test_well_formed_lies(serve, what, is_there, is_not, stream):
    session = await serve()
    session.engine.fault("tamper", what=what)
    more = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
    text = (await session.chat(**more)).text
    assert is_there in text
    assert is_not not in text


async def test_writes_may_be_cut_in_single_bytes_and_say_the_same(serve):
    session = await serve(Options(fixed_created=1), tokens=4, multibyte=0.5)
    whole = await session.client.post(CHAT, json={**BODY, "stream": True}, headers={"x-request-id": "a"})
    session.engine.fault("split", split_bytes=1)
    cut = await session.client.post(CHAT, json={**BODY, "stream": True}, headers={"x-request-id": "a"})
    assert cut.content == whole.content
    assert (await session.chat()).status_code == 200


async def test_any_fault_may_be_slow(serve):
    session = await serve(ttft_ms=5)
    session.engine.fault("slow", factor=8, times=1)
    await session.chat()
    await session.chat()
    slow, usual = session.engine.log
    assert slow.first_byte_at - slow.arrived_at > 0.04
    assert usual.end == "finished"


async def test_no_keep_alive(serve):
    session = await serve()
    session.engine.fault("no_keep_alive")
    assert (await session.chat()).headers["connection"] == "close"
    await session.until(lambda: session.engine.connections == 0)


async def test_a_kept_connection_may_be_closed_on_its_next_request(serve):
    session = await serve()
    session.engine.fault("stale")
    assert (await session.chat()).status_code == 200
    with pytest.raises(BROKEN):
        await session.chat()
    assert [record.end for record in session.engine.log] == ["finished", "fault"]
    assert (await session.chat()).status_code == 200


async def test_every_kind_leaves_the_engine_able_to_work(serve):
    session = await serve(Options(max_num_seqs=1))
    for kind in FaultKind:
        if kind is FaultKind.DIE:
            continue
        session.engine.fault(kind, times=2, at_byte=100 if kind is FaultKind.CLOSE else None)
        for stream in (True, False):
            try:
                async with asyncio.timeout(0.05):
                    await session.chat(stream=stream)
            except (TimeoutError, *BROKEN):
                pass
        session.engine.reset()
        await session.until(lambda: session.engine.running == 0)
        assert (await session.chat()).status_code == 200, kind


async def test_a_request_may_bring_its_own_script(serve):
    session = await serve()
    headers = {"x-sim-script": '{"tokens": 2, "faults": [{"kind": "early_end", "after_events": 1}]}'}
    response = await session.client.post(CHAT, json={**BODY, "stream": True}, headers=headers)
    assert len(frames(response)) == 2
    answer = (await session.chat(vllm_xargs={"sim": {"tokens": 2}})).json()
    assert answer["usage"]["completion_tokens"] == 3
    assert (await session.chat(vllm_xargs={"sim": {"tokenz": 2}})).status_code == 400
    assert (await session.chat()).json()["usage"]["completion_tokens"] == 17


def test_a_unix_socket_knows_no_reset():
    """Why a reset on a unix socket is the end of the stream: the kernel has no other word for it."""
    one, other = socket.socketpair()
    one.close()
    assert other.recv(1) == b""
    other.close()
