"""What fails: a proper status while that can be, in-band once content was sent, and never a quiet end."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

import pytest

from engines.simulated import SimulatedEngine
from gateway.admission import Bounds
from gateway.fleet.endpoint import Condition
from gateway.proxy.quarantine import STRIKE_SECONDS
from tests.support.gateway import MODEL, Driver, RunningGateway, endpoint, until
from tests.support.peer import Ending, Response, request
from tests.support.scripted import (
    DONE,
    LAST_CHUNK,
    PLAIN_BODY,
    ROLE,
    STREAM_HEAD,
    ScriptedEngine,
    chunk,
    content,
    event,
    stream,
    whole,
)

PLAIN: dict[str, Any] = {"model": "model", "messages": [{"role": "user", "content": "Say it."}]}
STREAM: dict[str, Any] = {**PLAIN, "stream": True, "stream_options": {"include_usage": True}}


def check_status(
    answer: Response,
    status: int,
    code: str,
    *,
    retry: str = "false",
    after: str | None = None,
    kind: str = "server_error",
) -> None:
    """A failure told by its status."""
    assert answer.status == status, answer.raw
    assert answer.is_complete
    assert answer.header("content-type") == "application/json"
    assert answer.header("x-should-retry") == retry
    assert answer.header("retry-after") == after
    error = answer.json()["error"]
    assert list(error) == ["message", "type", "param", "code"]
    assert (error["type"], error["param"], error["code"]) == (kind, None, code)


def check_interrupted(answer: Response) -> list[bytes]:
    """A failure told in-band. Gives the events before it."""
    assert answer.status == 200, answer.raw
    assert answer.header("content-type") == "text/event-stream; charset=utf-8"
    assert not answer.is_complete
    assert answer.ending is Ending.FIN
    events = answer.events
    error = json.loads(events[-1].removeprefix(b"data: "))
    assert list(error) == ["error"]
    assert list(error["error"]) == ["message", "type", "param", "code"]
    assert (error["error"]["type"], error["error"]["code"]) == ("server_error", "stream_interrupted")
    assert DONE not in events
    for earlier in events[:-1]:
        assert "error" not in json.loads(earlier[6:])
    return events[:-1]


async def asked(gateway: RunningGateway, body: dict[str, Any]) -> Response:
    """One request on its own connection, read to the end of both."""
    peer = await gateway.connect()
    await peer.send(request(body, more_headers=[("connection", "close")]))
    answer = await peer.last_response()
    peer.close()
    await gateway.settled()
    return answer


def last_end(gateway: RunningGateway) -> tuple[str, int, str | None, int]:
    end = gateway.ends[-1]
    return end.outcome.value, end.status, end.code, end.attempts


CUTS = [
    "die",
    "reset",
    "close",
    "early_end",
    "broken_json",
    "not_utf8",
    "huge_line",
    "short_body",
    "error_event",
]


@pytest.mark.parametrize("kind", CUTS)
@pytest.mark.parametrize("after_events", [0, 1])
async def test_a_stream_that_fails_before_content_is_a_502(gateway, tcp_engine, kind, after_events) -> None:
    gateway.publish(endpoint(tcp_engine.address))
    tcp_engine.fault(kind, after_events=after_events)
    answer = await asked(gateway, STREAM)
    check_status(answer, 502, "upstream_lost")
    assert last_end(gateway) == ("upstream_error", 502, "upstream_lost", 1)
    assert len(tcp_engine.log) == 1


@pytest.mark.parametrize("kind", [*CUTS, "tamper"])
async def test_a_stream_that_fails_after_content_says_so_in_band(gateway, tcp_engine, kind) -> None:
    gateway.publish(endpoint(tcp_engine.address))
    tcp_engine.fault(kind, after_events=4, what="no_finish_reason")
    before = check_interrupted(await asked(gateway, STREAM))
    assert len(before) >= 4
    assert last_end(gateway) == ("upstream_error", 200, "stream_interrupted", 1)


@pytest.mark.parametrize("kind", ["die", "reset", "close"])
@pytest.mark.parametrize("body", [PLAIN, STREAM], ids=["plain", "stream"])
async def test_an_engine_lost_before_its_head_is_a_502(gateway, tcp_engine, kind, body) -> None:
    gateway.publish(endpoint(tcp_engine.address))
    tcp_engine.fault(kind, at="arrival")
    check_status(await asked(gateway, body), 502, "upstream_lost")


PLAIN_FAULTS = ["die", "reset", "close", "broken_json", "not_utf8", "html", "error_body", "short_body"]


@pytest.mark.parametrize("kind", PLAIN_FAULTS)
async def test_a_plain_answer_that_is_none_is_a_502(gateway, tcp_engine, kind) -> None:
    gateway.publish(endpoint(tcp_engine.address))
    tcp_engine.fault(kind)
    check_status(await asked(gateway, PLAIN), 502, "upstream_lost")


@pytest.mark.parametrize("kind", ["html", "error_body", "wrong_content_type"])
async def test_what_is_no_event_stream_is_a_502(gateway, engine, kind) -> None:
    engine.fault(kind)
    check_status(await asked(gateway, STREAM), 502, "upstream_lost")


@pytest.mark.parametrize("what", ["second_done", "after_done", "usage_missing"])
async def test_lies_behind_a_complete_answer_are_dropped(gateway, engine, what) -> None:
    engine.fault(what if what == "after_done" else "tamper", what=what)
    answer = await asked(gateway, STREAM)
    assert answer.is_complete
    assert answer.events[-1] == DONE
    assert answer.events.count(DONE) == 1
    assert last_end(gateway) == ("ok", 200, None, 1)
    assert (gateway.ends[-1].usage is None) == (what == "usage_missing")


async def test_an_engine_that_never_stops_after_done_does_not_hold_the_client(gateway, tmp_path) -> None:
    """The call ends a second after `[DONE]`, whatever the engine goes on to say."""
    scripted = ScriptedEngine([stream(ROLE, content("x", finish="stop"), DONE, last=b"")])
    async with scripted.serve(tmp_path / "s.sock") as other:
        gateway.publish(endpoint(other.address))
        peer = await gateway.connect()
        await peer.send(request(STREAM))
        await peer.until(DONE)
        for _ in range(4):
            gateway.advance(0.6)
            for connection in tuple(other.connections):
                connection.transport.write(chunk(ROLE))
            await asyncio.sleep(0.02)  # no event tells that the gateway has read what it drops
        answer = await peer.response()
        assert answer.is_complete
        assert answer.events == [ROLE, content("x", finish="stop"), DONE]
        await gateway.settled()
        assert last_end(gateway) == ("ok", 200, None, 1)


# --- the engine's own errors

ERROR = {"error": {"message": "engine words", "type": "BadRequestError", "param": "temperature", "code": 400}}
STATUSES = {
    400: 400,
    413: 413,
    422: 422,
    401: 502,
    403: 502,
    404: 502,
    500: 502,
    502: 502,
}


@pytest.mark.parametrize("body", [PLAIN, STREAM], ids=["plain", "stream"])
@pytest.mark.parametrize("theirs", STATUSES)
async def test_an_engines_status_becomes_ours(gateway, engine, theirs, body) -> None:
    engine.fault(
        "status", status=theirs, body=json.dumps(ERROR), headers={"retry-after": "77", "x-secret": "1"}
    )
    answer = await asked(gateway, body)
    ours = STATUSES[theirs]
    if ours in {400, 413, 422}:
        assert answer.status == ours
        assert answer.json() == {
            "error": {
                "message": "engine words",
                "type": "invalid_request_error",
                "param": "temperature",
                "code": "invalid_request",
            }
        }
        assert answer.header("x-should-retry") == "false"
        assert last_end(gateway) == ("client_error", ours, "invalid_request", 1)
    else:
        check_status(answer, 502, "upstream_lost")
    assert answer.header("x-secret") is None
    assert (b"engine words" in answer.body) == (ours in {400, 413, 422})
    assert len(engine.log) == 1


async def test_a_prompt_that_is_too_long_has_openais_code(gateway, engine) -> None:
    answer = await asked(gateway, {**PLAIN, "max_tokens": 100_000})
    assert answer.status == 400
    assert answer.json()["error"]["code"] == "context_length_exceeded"
    assert not gateway.replica().is_ejected(gateway.clock())


IN_BAND = {400: 400, 422: 422, 500: 502}


@pytest.mark.parametrize("theirs", IN_BAND)
@pytest.mark.parametrize("opening", [(), (ROLE,)], ids=["first", "after-role"])
async def test_an_error_event_before_content_becomes_the_status_of_its_code(
    gateway, tmp_path, theirs, opening
) -> None:
    error = event({"error": {"message": "m", "type": "T", "param": None, "code": theirs}})
    async with ScriptedEngine([stream(*opening, error, DONE)]).serve(tmp_path / "s.sock") as other:
        gateway.publish(endpoint(other.address))
        answer = await asked(gateway, STREAM)
    assert answer.status == IN_BAND[theirs]
    assert answer.header("content-type") == "application/json"
    assert DONE not in answer.raw


ODD_EVENTS = {
    "error beside content": event({"choices": [{"delta": {"content": "x"}}], "error": {"code": 500}}),
    "broken bytes beside content": b'data: {"choices":[{"delta":{"content":"x"}}],"id":"\xff"}\n\n',
    "content of a wrong type": event({"choices": [{"delta": {"content": 5}}]}),
    "not an object": b"data: [1]\n\n",
    "plain words": b"data: hello\n\n",
    "a done without a finish": DONE,
    "a role and a done": ROLE + DONE,
    "a huge event": content("x" * (1 << 20)),
}


@pytest.mark.parametrize("odd", ODD_EVENTS.values(), ids=ODD_EVENTS.keys())
async def test_a_first_event_that_cannot_be_shown_is_a_502(gateway, tmp_path, odd) -> None:
    raw = stream(odd, content("y", finish="stop"), DONE)
    async with ScriptedEngine([raw]).serve(tmp_path / "s.sock") as other:
        gateway.publish(endpoint(other.address))
        check_status(await asked(gateway, STREAM), 502, "upstream_lost")


async def test_a_choice_without_a_finish_reason_is_an_interrupted_stream(gateway, tmp_path) -> None:
    raw = stream(content("a", index=0), content("b", index=1), content("", finish="stop", index=1), DONE)
    async with ScriptedEngine([raw]).serve(tmp_path / "s.sock") as other:
        gateway.publish(endpoint(other.address))
        assert len(check_interrupted(await asked(gateway, STREAM))) == 3


# --- an engine that is full

BUSY = [
    {"kind": "status", "status": 503},
    {"kind": "status", "status": 429},
    {"kind": "queue_full"},
    {"kind": "queue_full", "in_stream": True},
]


@pytest.mark.parametrize("fault", BUSY, ids=lambda f: "-".join(map(str, f.values())))
async def test_a_call_that_the_only_engine_turns_away_waits_for_it(gateway, engine, fault) -> None:
    engine.fault(**fault, times=2)
    peer = await gateway.connect()
    await peer.send(request(STREAM))
    for asked_before in (1, 2):
        await until(lambda: len(engine.log) == asked_before and gateway.waiting() == 1)  # noqa: B023 - awaited
        assert gateway.proxy.live == 1
        gateway.advance(0.5)
    assert (await peer.response()).events[-1] == DONE
    assert last_end(gateway) == ("ok", 200, None, 3)
    assert not gateway.replica().is_ejected(gateway.clock())
    await gateway.settled()


async def test_a_call_that_is_turned_away_does_not_wait_for_ever(gateway, engine) -> None:
    engine.fault("queue_full")
    peer = await gateway.connect()
    await peer.send(request(STREAM))
    for asked_before in range(1, 60):
        await until(lambda: len(engine.log) == asked_before and gateway.waiting() == 1)  # noqa: B023 - awaited
        gateway.advance(0.5)
    await until(lambda: gateway.waiting() == 1)
    gateway.advance(1)
    check_status(await peer.response(), 503, "overloaded", retry="true", after="1")
    assert last_end(gateway)[0] == "evicted"
    await gateway.settled()


async def test_a_call_that_is_turned_away_is_refused_when_nobody_more_may_wait(gateway, engine) -> None:
    gateway.parts.admission._queue(gateway.parts.catalog.resolve(MODEL))._bounds = Bounds(0)
    engine.fault("queue_full")
    check_status(await asked(gateway, STREAM), 503, "overloaded", retry="true", after="1")
    assert len(engine.log) == 1
    await gateway.settled()


async def test_a_client_that_leaves_while_its_call_waits_again_is_not_served(gateway, engine) -> None:
    engine.fault("queue_full", times=1)
    peer = await gateway.connect()
    await peer.send(request(STREAM))
    await until(lambda: gateway.waiting() == 1)
    peer.close()
    await gateway.settled()
    gateway.advance(1)
    assert len(engine.log) == 1


async def test_an_engine_that_turned_a_call_away_holds_fewer_until_it_shows_that_it_can(
    gateway, engine
) -> None:
    engine.fault("queue_full", times=1)
    engine.fault("hang", at="arrival", times=2)  # the one added last comes first
    peers = [await gateway.connect() for _ in range(3)]
    for count, peer in enumerate(peers, 1):
        await peer.send(request(STREAM))
        await until(lambda: len(engine.log) == count)  # noqa: B023 - awaited
    await until(lambda: gateway.waiting() == 1)
    assert gateway.replica().limit == 2
    gateway.advance(0.5)
    assert gateway.waiting() == 1
    peers[0].close()
    assert (await peers[2].response()).is_complete
    assert gateway.replica().limit == 3
    peers[1].close()
    await gateway.settled()


# --- a request that kills engines

DEADLY = {**STREAM, "messages": [{"role": "user", "content": "deadly"}]}


async def test_a_request_under_which_two_engines_died_is_given_to_no_third(
    gateway, engine, tcp_engine, tmp_path
) -> None:
    """A connection that closes unanswered, and another that is refused: so a death looks from outside."""
    async with SimulatedEngine().serve(uds=tmp_path / "third.sock") as third:
        engines = {"a": engine, "b": tcp_engine, "c": third}
        gateway.publish(*(endpoint(each.address, id=name) for name, each in engines.items()))
        for each in engines.values():
            each.fault("close", at="arrival", body_contains="deadly")
        check_status(await asked(gateway, DEADLY), 502, "upstream_lost")
        dead = [name for name, each in engines.items() if each.log]
        assert len(dead) == 2
        check_status(await asked(gateway, DEADLY), 503, "model_unavailable", retry="true", after="5")
        for name in dead:
            gateway.replica(name).refused(gateway.clock())
        for _ in range(100):
            answer = await asked(gateway, DEADLY)
            check_status(answer, 422, "request_quarantined", kind="invalid_request_error")
        assert (await asked(gateway, STREAM)).status == 200
        assert sum(len(each.log) for each in engines.values()) == 3
        gateway.advance(599)
        assert (await asked(gateway, DEADLY)).status == 422
        gateway.advance(2)
        for each in engines.values():
            each.reset()
        assert (await asked(gateway, DEADLY)).status == 200


@pytest.mark.parametrize("is_replaced", [False, True], ids=["refused", "replaced"])
async def test_engines_that_die_with_their_kept_connections_are_counted_too(
    gateway, tmp_path, is_replaced
) -> None:
    """Such a death looks as an idle connection does that was closed. What is there now may be another process."""
    async with contextlib.AsyncExitStack() as stack:
        engines = {
            name: await stack.enter_async_context(ScriptedEngine([PLAINLY]).serve(tmp_path / name))
            for name in "abc"
        }
        gateway.publish(*(endpoint(each.address, id=name) for name, each in engines.items()))
        for _ in engines:
            assert (await asked(gateway, PLAIN)).status == 200
        for name, each in engines.items():
            each.parts, each.ending = [], Ending.FIN
            each.on_request = lambda _, name=name: (tmp_path / name).unlink()
        check_status(await asked(gateway, DEADLY), 502, "upstream_lost")
        dead = [name for name, each in engines.items() if len(each.requests) == 2]
        assert len(dead) == 2
        if is_replaced:
            gateway.publish(
                *(endpoint(each.address, id=name, api_key=f"next {name}") for name, each in engines.items())
            )
        else:
            for name in dead:
                gateway.replica(name).refused(gateway.clock())
        for _ in range(3):
            check_status(
                await asked(gateway, DEADLY), 422, "request_quarantined", kind="invalid_request_error"
            )
        assert sum(len(each.requests) for each in engines.values()) == 5


async def test_a_request_is_innocent_when_its_engines_are_heard_of_again(gateway, engine, tcp_engine) -> None:
    gateway.publish(endpoint(engine.address, id="a"), endpoint(tcp_engine.address, id="b"))
    for each in (engine, tcp_engine):
        each.fault("close", at="arrival", times=1)
    check_status(await asked(gateway, DEADLY), 502, "upstream_lost")
    gateway.clock.advance(0.1)
    for _ in range(2):
        assert (await asked(gateway, STREAM)).status == 200
    assert (await asked(gateway, DEADLY)).status == 200


async def test_a_body_that_everybody_sends_is_not_blamed(gateway, engine, tcp_engine) -> None:
    """A load test repeats one body: what is answered anywhere is no poison."""
    gateway.publish(endpoint(engine.address, id="a"), endpoint(tcp_engine.address, id="b"))
    for each in (engine, tcp_engine, engine, tcp_engine):
        each.fault("close", at="arrival", times=1)
        gateway.clock.advance(0.5)
        for _ in range(3):
            assert (await asked(gateway, STREAM)).status == 200


# --- every byte

EVENTS = (ROLE, content("é\U0001f680"), content("z", finish="stop"), DONE)
STREAMED = stream(*EVENTS)
CONTENT_AT = STREAMED.index(EVENTS[1]) + len(EVENTS[1])
"""This many bytes of the answer hold its first content."""
DONE_AT = STREAMED.index(DONE) + len(DONE)
PLAINLY = whole(PLAIN_BODY)


@pytest.mark.parametrize("ending", [Ending.FIN, Ending.RST])
async def test_a_stream_cut_at_any_byte_never_ends_quietly(gateway, ending) -> None:
    outcomes = set()
    async with ScriptedEngine(ending=ending).serve() as other:
        for at in range(len(STREAMED)):
            gateway.clock.advance(STRIKE_SECONDS + 1)
            gateway.publish(endpoint(other.address, api_key=str(at)))  # a new replica: none is ejected
            other.parts = [STREAMED[:at]]
            answer = await asked(gateway, STREAM)
            assert len(other.requests) == at + 1
            if at >= DONE_AT and answer.is_complete:
                assert tuple(answer.events) == EVENTS
                outcomes.add("complete")
            elif answer.status == 200 and (at >= CONTENT_AT):
                before = check_interrupted(answer)
                assert before == list(EVENTS[: len(before)])
                outcomes.add("interrupted")
            else:
                check_status(answer, 502, "upstream_lost")
                assert at < CONTENT_AT or ending is Ending.RST
                outcomes.add("lost")
    assert outcomes == {"complete", "interrupted", "lost"}


@pytest.mark.parametrize("ending", [Ending.FIN, Ending.RST])
async def test_a_plain_answer_cut_at_any_byte_is_a_502(gateway, ending) -> None:
    async with ScriptedEngine(ending=ending).serve() as other:
        for at in range(len(PLAINLY)):
            gateway.clock.advance(STRIKE_SECONDS + 1)
            gateway.publish(endpoint(other.address, api_key=str(at)))
            other.parts = [PLAINLY[:at]]
            check_status(await asked(gateway, PLAIN), 502, "upstream_lost")


async def test_an_answer_split_at_any_byte_arrives_the_same(gateway, tmp_path) -> None:
    async with ScriptedEngine().serve(tmp_path / "s.sock") as other:
        gateway.publish(endpoint(other.address))
        peer = await gateway.connect()
        for raw, body in ((STREAMED, STREAM), (PLAINLY, PLAIN)):
            expected = b"".join(EVENTS) if raw is STREAMED else PLAIN_BODY.replace(b"simulated", b"model")
            for at in range(1, len(raw)):
                other.parts = [raw[:at], raw[at:]]
                answer = await peer.ask(request(body))
                assert answer.is_complete
                assert answer.body == expected, at
        assert other.accepted == 1


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("stream_", [False, True], ids=["plain", "stream"])
async def test_an_answer_in_slices_arrives_the_same(gateway, engine, size, stream_) -> None:
    engine.script(tokens=6, multibyte=1.0)
    body = {**PLAIN, "stream": stream_}
    peer = await gateway.connect()
    ask = request(body)
    uncut = await peer.ask(ask)
    engine.fault("split", split_bytes=size)
    cut = await peer.ask(ask)
    ids = [record.headers[b"x-request-id"] for record in engine.log]
    assert cut.body.replace(ids[1], ids[0]) == uncut.body
    assert not cut.body.isascii()


# --- connections to engines


@pytest.mark.parametrize("body", [PLAIN, STREAM], ids=["plain", "stream"])
async def test_an_engine_that_is_not_there_is_a_502_and_then_left_out(gateway, tmp_path, body) -> None:
    gateway.publish(endpoint(f"unix:{tmp_path}/nobody.sock"))
    check_status(await asked(gateway, body), 502, "upstream_unreachable", retry="true", after="1")
    check_status(await asked(gateway, body), 503, "model_unavailable", retry="true", after="5")
    gateway.advance(1.1)
    check_status(await asked(gateway, body), 502, "upstream_unreachable", retry="true", after="1")


async def test_a_kept_connection_that_died_is_replaced_and_the_request_dispatched_once(
    gateway, engine
) -> None:
    peer = await gateway.connect()
    assert (await peer.ask(request(PLAIN))).status == 200
    for connection in list(engine._connections):
        connection.cut(reset=False)
    assert (await peer.ask(request(STREAM))).is_complete
    assert len(engine.log) == 2
    assert last_end(gateway)[0] == "ok"
    assert [end.attempts for end in gateway.ends] == [1, 1]


async def test_a_connection_that_closes_under_the_request_is_replaced_once(gateway, tmp_path) -> None:
    """The engine read the request on a kept connection and closed it unanswered; then on a fresh one too."""
    scripted = ScriptedEngine([PLAINLY])
    async with scripted.serve(tmp_path / "s.sock") as other:
        gateway.publish(endpoint(other.address))
        peer = await gateway.connect()
        assert (await peer.ask(request(PLAIN))).status == 200
        other.parts, other.ending = [], Ending.FIN
        check_status(await peer.ask(request(PLAIN)), 502, "upstream_lost")
        assert len(other.requests) == 3
        assert other.requests[1].split(b"x-request-id")[1] == other.requests[2].split(b"x-request-id")[1]
        assert last_end(gateway) == ("upstream_error", 502, "upstream_lost", 1)


@pytest.mark.parametrize("seen", [Condition.DRAINING, None], ids=["draining", "gone"])
async def test_a_closed_connection_is_not_replaced_when_the_engine_may_get_no_more_work(
    gateway, tmp_path, seen
) -> None:
    scripted = ScriptedEngine([PLAINLY])
    async with scripted.serve(tmp_path / "s.sock") as other:
        gateway.publish(endpoint(other.address))
        peer = await gateway.connect()
        assert (await peer.ask(request(PLAIN))).status == 200
        other.parts, other.ending = [], Ending.FIN
        if seen is None:
            other.on_request = lambda _: gateway.publish()
        else:
            other.on_request = lambda _: gateway.publish(endpoint(other.address), condition=seen)
        check_status(await peer.ask(request(PLAIN)), 502, "upstream_lost")
        assert len(other.requests) == 2


async def test_an_idle_connection_is_not_used_when_the_engine_may_be_closing_it(gateway, engine) -> None:
    peer = await gateway.connect()
    await peer.ask(request(PLAIN))
    gateway.advance(3.9)
    await peer.ask(request(PLAIN))
    assert engine.connections == 1
    gateway.advance(4.1)
    first = set(engine._connections)
    await peer.ask(request(PLAIN))
    await until(lambda: engine.connections == 1)
    assert not first & engine._connections


# --- a second replica


@pytest.fixture
def pair(gateway: RunningGateway, engine: SimulatedEngine, tcp_engine: SimulatedEngine) -> RunningGateway:
    """A gateway in front of two engines; the first call goes to `tcp_engine`."""
    gateway.publish(endpoint(engine.address, id="good"), endpoint(tcp_engine.address, id="bad"))
    return gateway


MOVED = [
    *({"kind": kind, "after_events": after} for kind in CUTS for after in (0, 1)),
    *({"kind": kind, "at": "arrival"} for kind in ("die", "reset", "close")),
    *({"kind": kind} for kind in ("html", "error_body", "wrong_content_type")),
    *({"kind": "status", "status": status} for status in (500, 502, 503, 429, 404, 401)),
    {"kind": "queue_full"},
    {"kind": "queue_full", "in_stream": True},
]


@pytest.mark.parametrize("fault", MOVED, ids=lambda f: "-".join(map(str, f.values())))
async def test_a_stream_that_fails_before_content_is_answered_by_the_other(
    pair, engine, tcp_engine, fault
) -> None:
    tcp_engine.fault(**fault)
    answer = await asked(pair, STREAM)
    assert answer.status == 200
    assert answer.is_complete
    assert answer.events[-1] == DONE
    assert (len(tcp_engine.log), len(engine.log)) == (1, 1)
    assert last_end(pair) == ("ok", 200, None, 2)
    first, second = (log[0].headers[b"x-request-id"].decode() for log in (tcp_engine.log, engine.log))
    assert second == f"{first}-2"
    assert engine.log[0].headers[b"x-request-id"].decode() in answer.body.decode()


@pytest.mark.parametrize("kind", PLAIN_FAULTS)
async def test_a_plain_answer_that_fails_is_given_by_the_other(pair, engine, tcp_engine, kind) -> None:
    tcp_engine.fault(kind)
    answer = await asked(pair, PLAIN)
    assert answer.status == 200
    assert (len(tcp_engine.log), len(engine.log)) == (1, 1)


@pytest.mark.parametrize("status", [400, 413, 422])
async def test_a_fault_of_the_clients_is_not_tried_again(pair, engine, tcp_engine, status) -> None:
    tcp_engine.fault("status", status=status)
    assert (await asked(pair, STREAM)).status == status
    assert len(engine.log) == 0


@pytest.mark.parametrize("kind", CUTS)
async def test_what_fails_after_content_is_not_tried_again(pair, engine, tcp_engine, kind) -> None:
    tcp_engine.fault(kind, after_events=4)
    check_interrupted(await asked(pair, STREAM))
    assert len(engine.log) == 0


@pytest.mark.parametrize("body", [PLAIN, STREAM], ids=["plain", "stream"])
async def test_two_dispatches_are_the_most(pair, engine, tcp_engine, tmp_path, body) -> None:
    async with SimulatedEngine().serve(uds=tmp_path / "third.sock") as third:
        pair.publish(
            *(endpoint(e.address, id=n) for e, n in ((engine, "a"), (tcp_engine, "b"), (third, "c")))
        )
        for each in (engine, tcp_engine, third):
            each.fault("status", status=500)
        check_status(await asked(pair, body), 502, "upstream_lost")
        assert len(engine.log) + len(tcp_engine.log) + len(third.log) == 2
        assert last_end(pair)[3] == 2


async def test_the_other_is_not_tried_when_it_has_no_room(gateway, engine, tcp_engine) -> None:
    gateway.publish(
        endpoint(engine.address, id="good", max_in_flight=1),
        endpoint(tcp_engine.address, id="bad", max_in_flight=2),
    )
    good = gateway.replica("good")
    engine.fault("hang", at="arrival")
    tcp_engine.fault("status", status=500)
    peers = [await gateway.connect() for _ in range(2)]
    for peer in peers:  # one fails on `bad` and moves, or the other goes to `good` first: `good` is full
        await peer.send(request(STREAM))
    await until(lambda: good.in_flight and engine.log)
    other = await gateway.connect()
    check_status(await other.ask(request(STREAM)), 502, "upstream_lost")
    assert len(engine.log) == 1
    for peer in peers:
        peer.close()
    await gateway.settled()


async def test_a_failing_engine_is_left_out_and_comes_back(pair, engine, tcp_engine) -> None:
    tcp_engine.fault("status", status=500)
    for _ in range(8):
        assert (await asked(pair, PLAIN)).status == 200
    assert len(tcp_engine.log) == 3  # then it is ejected
    tcp_engine.reset()
    pair.advance(1.1)
    for _ in range(4):
        assert (await asked(pair, PLAIN)).status == 200
    assert len(tcp_engine.log) == 2


async def test_a_busy_engine_is_not_left_out(pair, engine, tcp_engine) -> None:
    tcp_engine.fault("queue_full")
    for _ in range(12):
        assert (await asked(pair, PLAIN)).status == 200
        pair.advance(0.5)
    assert len(tcp_engine.log) == 6


async def test_a_client_cannot_get_an_engine_left_out(pair, engine, tcp_engine) -> None:
    for _ in range(6):
        assert (await asked(pair, {**PLAIN, "max_tokens": 100_000})).status == 400
    assert not any(r.is_ejected(pair.clock()) for r in pair.parts.catalog.replicas())
    assert len(tcp_engine.log) == 3


async def test_when_all_fail_all_are_still_tried(pair, engine, tcp_engine) -> None:
    for each in (engine, tcp_engine):
        each.fault("status", status=500, times=4)
    answers = [(await asked(pair, PLAIN)).status for _ in range(6)]
    assert answers[0] == 502
    assert answers[-1] == 200


async def test_the_stream_head_waits_for_content(gateway, tmp_path) -> None:
    """The role event alone commits to nothing: the engine may still refuse."""
    async with ScriptedEngine([STREAM_HEAD + chunk(ROLE)]).serve(tmp_path / "s.sock") as other:
        gateway.publish(endpoint(other.address))
        peer = await gateway.connect()
        await peer.send(request(STREAM))
        await until(lambda: [e for e in gateway.proxy._live if e.state.value == "head" and e._held])
        assert peer.buffer == b""
        for connection in other.connections:
            connection.transport.write(chunk(content("x", finish="stop")) + chunk(DONE) + LAST_CHUNK)
        answer = await peer.response()
        assert answer.events == [ROLE, content("x", finish="stop"), DONE]
        if gateway.driver is Driver.EDGE:
            assert answer.chunks is not None
            assert answer.chunks[0].startswith(ROLE)
