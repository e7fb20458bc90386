"""The Exchange alone, told random events in any order that can happen: one end, nothing held after it."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.admission import Admission, Bounds
from gateway.auth.anonymous import Anonymous
from gateway.balancer import POLICIES
from gateway.core.call import Operation
from gateway.core.errors import Draining
from gateway.core.outcome import End, Outcome
from gateway.explain.phases import phases
from gateway.explain.record import kept, told
from gateway.fleet.catalog import Catalog
from gateway.fleet.endpoint import Condition, Endpoint, Sighting, TcpAddress
from gateway.fleet.replica import Replica
from gateway.fleet.routes import Route, Routes, Share
from gateway.ledger import Ledger
from gateway.openai.envelope import upstream_body
from gateway.openai.operations import CHAT
from gateway.openai.structure import LARGE_BYTES
from gateway.proxy.client import Headers, Part
from gateway.proxy.exchange import MOST_ATTEMPTS, STALE_SECONDS, Exchange
from gateway.proxy.fallback import MOST_ENGINES
from gateway.proxy.proxy import Proxy, Timeouts
from gateway.proxy.retry import MAX_DISPATCHES
from gateway.proxy.states import State
from gateway.transport import Loss, Sink
from tests.support.aside import HeldAside
from tests.support.clock import Clock
from tests.support.usage import Kept

DONE = b"data: [DONE]\n\n"


def event(value: Any) -> bytes:
    return b"data: %b\n\n" % json.dumps(value).encode()


ROLE = event({"choices": [{"index": 0, "delta": {"role": "assistant"}}]})
TEXT = event({"choices": [{"index": 0, "delta": {"content": "x"}}]})
FINISH = event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
ERRORS = [event({"error": {"message": "m", "code": code}}) for code in (400, 500, 503)]
PLAIN = b'{"choices":[{"index":0}],"usage":{"prompt_tokens":1}}'
BODIES = [
    {"model": "m", "messages": [{"role": "user"}], "stream": True},
    {"model": "m", "messages": [{"role": "user"}]},
    {"model": "none", "messages": [{"role": "user"}]},
    {"messages": 5},
]
LARGE = json.dumps({"model": "m", "messages": [{"role": "user", "content": "x" * LARGE_BYTES}]}).encode()
LARGE_AND_WRONG = b"[" * (LARGE_BYTES + 1)


class FakeClient:
    """Insists on the order in which a client may be told things."""

    def __init__(self) -> None:
        self.exchange: Exchange
        self.address = None
        self.state = "nothing"
        self.sent = b""
        self.status: int | None = None
        self.end: Part | None = None
        self.waiting = 0
        """Bytes that it has not taken."""

    def unsent(self) -> int:
        return self.waiting

    def answer(self, status: int, headers: Headers, body: bytes) -> None:
        assert self.state == "nothing", self.state
        self.state, self.status, self.sent, self.end = "over", status, body, Part.LAST
        assert b"x-request-id" in dict(headers)

    def begin(self, status: int, headers: Headers) -> None:
        assert self.state == "nothing", self.state
        self.state, self.status = "streaming", status
        assert b"x-request-id" in dict(headers)

    def send(self, data: bytes, part: Part) -> None:
        assert self.state == "streaming", self.state
        self.sent += data
        if part is not Part.MORE:
            self.state, self.end = "over", part


class FakeSending:
    """One sending, as the engine's side of a test holds it."""

    def __init__(self, sink: Sink, replica: str, body: bytes, *, fresh: bool) -> None:
        self.sink: Sink | None = sink
        self.body = body
        self.replica = replica
        self.fresh = fresh
        self.has_head = False
        self.is_paused = False

    def pause(self) -> None:
        self.is_paused = True

    def resume(self) -> None:
        self.is_paused = False

    def close(self) -> None:
        self.sink = None

    def over(self) -> Sink:
        """The sink, for its last word."""
        sink, self.sink = self.sink, None
        assert sink is not None
        return sink


class FakeTransport:
    """Sends nothing anywhere."""

    def __init__(self) -> None:
        self.sendings: list[FakeSending] = []

    def send(
        self,
        endpoint: Endpoint,
        operation: Operation,
        request_id: str,
        body: bytes,
        sink: Sink,
        *,
        fresh: bool,
    ) -> FakeSending:
        sending = FakeSending(sink, endpoint.id, body, fresh=fresh)
        self.sendings.append(sending)
        return sending

    def forget(self, endpoint: Endpoint) -> None:
        """Nothing is kept."""

    @property
    def open(self) -> list[FakeSending]:
        return [each for each in self.sendings if each.sink is not None]


class World:
    """A proxy with everything around it faked, and two engines of one slot each."""

    def __init__(
        self, *, engines: int = 2, room: int = 1, models: Sequence[str] = (), routes: Routes | None = None
    ) -> None:
        self.clock = Clock()
        self.ends: list[End] = []
        self.transport = FakeTransport()
        self.aside = HeldAside()
        self.records = Kept()
        self.catalog = Catalog(routes=routes or Routes())
        self.admission = Admission(POLICIES["round_robin"], bounds=Bounds(2), clock=self.clock)
        self.proxy = Proxy(
            authenticator=Anonymous(),
            catalog=self.catalog,
            admission=self.admission,
            transport=self.transport,
            timeouts=Timeouts(),
            max_body_bytes=10_000,
            clock=self.clock,
            rng=random.Random(0),
            on_end=self.ends.append,
            aside=self.aside,
            ledger=Ledger(self.records, now=lambda: 0.0, rng=random.Random(0)),
        )
        self.catalog.publish(
            "s",
            [
                Sighting(
                    Endpoint(f"e{i}", TcpAddress("h", i + 1), "vllm", ((model, model),), None, room, 1.0),
                    Condition.READY,
                )
                for i, model in enumerate(models or ("m",) * engines)
            ],
        )

    def open(self, headers: Any = ()) -> FakeClient:
        client = FakeClient()
        client.exchange = self.proxy.open(CHAT, headers, client)
        return client

    def in_flight(self) -> int:
        return sum(replica.in_flight for replica in self.catalog.replicas())


class Life(RuleBasedStateMachine):
    """Some calls at once, all of their events in random order."""

    most_engines = MAX_DISPATCHES

    def __init__(self) -> None:
        super().__init__()
        self.world = self.made()
        self.clients: list[FakeClient] = []
        self.gone: set[int] = set()

    def made(self) -> World:
        return World()

    @initialize()
    def first(self) -> None:
        self.arrive()

    @rule()
    def arrive(self) -> None:
        if len(self.clients) < 12:
            self.clients.append(self.world.open())

    def reading(self) -> list[FakeClient]:
        return [each for each in self.clients if each.exchange.state is State.READING]

    @precondition(lambda self: self.reading())
    @rule(data=st.data(), body=st.sampled_from(BODIES), is_stream=st.booleans())
    def body(self, data: st.DataObject, body: dict[str, Any], is_stream: bool) -> None:
        client = data.draw(st.sampled_from(self.reading()))
        if is_stream:
            body = BODIES[0]
        client.exchange.request(json.dumps(body).encode())

    @precondition(lambda self: self.reading())
    @rule(data=st.data(), body=st.sampled_from([LARGE, LARGE, LARGE_AND_WRONG]))
    def large_body(self, data: st.DataObject, body: bytes) -> None:
        client = data.draw(st.sampled_from(self.reading()))
        client.exchange.request(body)
        assert client.exchange.state is State.PARSING

    @precondition(lambda self: self.world.aside.work)
    @rule(data=st.data())
    def read_on(self, data: st.DataObject) -> None:
        """A body is begun to be read, or was: also one whose call is over."""
        work = data.draw(st.sampled_from(self.world.aside.work))
        if work.has_begun or work.is_cancelled:
            self.world.aside.work.remove(work)
            work.tell()
        else:
            work.begin()

    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        client = data.draw(st.sampled_from(self.clients))
        before = client.state
        client.exchange.client_gone()
        assert client.state == before, "a client that is gone was told something"

    @rule(data=st.data(), is_writable=st.booleans())
    def writable(self, data: st.DataObject, is_writable: bool) -> None:
        data.draw(st.sampled_from(self.clients)).exchange.writable(is_writable)

    @precondition(lambda self: self.world.transport.open)
    @rule(
        data=st.data(),
        status=st.sampled_from([200, 200, 200, 200, 400, 404, 500, 503]),
        content_type=st.sampled_from([b"text/event-stream", b"text/event-stream", b"application/json"]),
    )
    def head(self, data: st.DataObject, status: int, content_type: bytes) -> None:
        sending = data.draw(st.sampled_from(self.world.transport.open))
        if not sending.has_head:
            sending.has_head = True
            assert sending.sink is not None
            sending.sink.upstream_head(status, content_type)

    @precondition(lambda self: self.world.transport.open)
    @rule(
        data=st.data(),
        pieces=st.lists(
            st.sampled_from([ROLE, TEXT, TEXT, FINISH, DONE, PLAIN, b"data: {", *ERRORS]), max_size=4
        ),
        last=st.booleans(),
    )
    def data(self, data: st.DataObject, pieces: list[bytes], last: bool) -> None:
        told = [each for each in self.world.transport.open if each.has_head]
        if not told:
            return
        sending = data.draw(st.sampled_from(told))
        sink = sending.over() if last else sending.sink
        assert sink is not None
        sink.upstream_data(b"".join(pieces), last=last)

    @precondition(lambda self: self.world.transport.open)
    @rule(data=st.data(), loss=st.sampled_from(Loss))
    def lose(self, data: st.DataObject, loss: Loss) -> None:
        sending = data.draw(st.sampled_from(self.world.transport.open))
        if loss in {Loss.REFUSED, Loss.STALE} and sending.has_head:
            loss = Loss.LOST
        sending.over().upstream_lost(loss)

    @rule(seconds=st.sampled_from([0.5, 1.1, 29, 31, 121, 601]))
    def pass_time(self, seconds: float) -> None:
        self.world.clock.advance(seconds)
        self.world.proxy.sweep()

    @rule()
    def cut(self) -> None:
        self.world.proxy.cut()
        assert self.world.proxy.live == 0

    @rule(data=st.data())
    def refuse(self, data: st.DataObject) -> None:
        reading = self.reading()
        if reading:
            data.draw(st.sampled_from(reading)).exchange.refuse(Draining("x"))

    @invariant()
    def what_is_over_holds_nothing(self) -> None:
        live = 0
        for client in self.clients:
            exchange = client.exchange
            if exchange.state not in {State.DONE, State.FAILED}:
                live += 1
                assert client.state != "over"
                continue
            assert (exchange._lease, exchange._ticket, exchange._sending) == (None, None, None)
            assert (exchange._envelope, exchange._parsing) == (None, None)
        assert self.world.proxy.live == live
        assert len(self.world.ends) == len(self.clients) - live
        holding = sum(client.exchange._lease is not None for client in self.clients)
        assert self.world.in_flight() == holding
        assert len(self.world.transport.open) <= holding
        waiting = sum(client.exchange._ticket is not None for client in self.clients)
        assert sum(map(self.world.admission.waiting, ("m", "n"))) == waiting

    @invariant()
    def what_was_sent_to_an_engine_has_one_record(self) -> None:
        """Begun with the sending, ended with the call; what no engine was sent has none."""
        live = [
            each.exchange for each in self.clients if each.exchange.state not in {State.DONE, State.FAILED}
        ]
        records = self.world.records
        sent = sum(exchange._record is not None for exchange in live)
        assert len(records.open()) == sent
        assert len(records.ended) == len({each.id for each in records.ended})
        dispatched = [end for end in self.world.ends if end.dispatched is not None or end.replica is not None]
        assert len(records.ended) == len(dispatched)

    @invariant()
    def no_stream_ends_well_that_did_not(self) -> None:
        for client in self.clients:
            if client.status == 200 and client.end is Part.LAST and client.sent.startswith(b"data"):
                assert client.sent.endswith(DONE)
                assert client.sent.count(DONE) == 1
                assert b"error" not in client.sent
            elif client.end is Part.BROKEN:
                assert DONE not in client.sent
                assert json.loads(client.sent.split(b"data: ")[-1])["error"]["code"] == "stream_interrupted"

    @invariant()
    def every_end_can_be_explained(self) -> None:
        """Its phases follow each other without a gap, and are as long as the call was."""
        for end in self.world.ends:
            record = told(kept(end))
            found = list(phases(record))
            assert all(each.begin <= each.end for each in found)
            edges = [each.begin for each in found] + [record.ended]
            assert edges == [record.arrived] + [each.end for each in found]
            queued = sum(each.end - each.begin for each in found if each.name == "queue")
            assert queued == pytest.approx(record.waited)
            assert len(record.former) <= MOST_ATTEMPTS

    @invariant()
    def dispatches_are_bounded(self) -> None:
        """Of engines that worked on a call; those that only turned it away are not counted."""
        for client in self.clients:
            assert client.exchange._dispatches - client.exchange._turned_away <= self.most_engines

    def teardown(self) -> None:
        self.world.proxy.cut()
        self.what_is_over_holds_nothing()
        assert self.world.in_flight() == 0
        assert self.world.transport.open == []


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


class LifeWithFallbacks(Life):
    """The same where the model is two, one of which was seen and never served, and a third stands in for both."""

    most_engines = MOST_ENGINES

    def made(self) -> World:
        route = Route("m", (Share.of("m", 3), Share.of("never", 1)), ("n",))
        return World(models=("m", "n"), routes=Routes({"m": route}))


TestLifeWithFallbacks = LifeWithFallbacks.TestCase
TestLifeWithFallbacks.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


# --- single cases


@pytest.fixture
def world() -> World:
    return World()


def asked(world: World, *, stream: bool) -> tuple[FakeClient, FakeSending]:
    client = world.open()
    client.exchange.request(json.dumps(BODIES[0 if stream else 1]).encode())
    return client, world.transport.sendings[-1]


def streaming(world: World) -> tuple[FakeClient, FakeSending]:
    client, sending = asked(world, stream=True)
    assert sending.sink is not None
    sending.sink.upstream_head(200, b"text/event-stream")
    sending.sink.upstream_data(TEXT, last=False)
    return client, sending


def test_a_stale_connection_is_replaced_on_the_same_replica_without_counting(world) -> None:
    _, sending = asked(world, stream=True)
    sending.over().upstream_lost(Loss.STALE)
    again = world.transport.sendings[-1]
    assert again is not sending
    assert (again.replica, again.fresh) == (sending.replica, True)
    again.over().upstream_lost(Loss.STALE)
    moved = world.transport.sendings[-1]
    assert moved.replica != sending.replica
    assert world.in_flight() == 1
    moved.over().upstream_lost(Loss.LOST)
    assert world.ends[0].attempts == 2
    assert world.in_flight() == 0


def test_a_kept_connection_that_breaks_late_was_not_stale(world) -> None:
    client, sending = asked(world, stream=False)
    world.clock.advance(STALE_SECONDS + 0.1)
    sending.over().upstream_lost(Loss.STALE)
    assert world.transport.sendings[-1].replica != sending.replica
    world.transport.sendings[-1].over().upstream_lost(Loss.LOST)
    assert world.ends[0].attempts == 2
    assert b"upstream_lost" in client.sent


def test_events_after_the_end_do_nothing(world) -> None:
    client, _ = asked(world, stream=False)
    client.exchange.refuse(Draining("x"))
    sent = client.sent
    for late in late_events(client.exchange):
        late()
    assert client.sent == sent
    assert len(world.ends) == 1


def late_events(exchange: Exchange) -> list[Callable[[], object]]:
    """What drivers and sweeps may still say to a call that is over."""
    return [
        exchange.client_gone,
        lambda: exchange.refuse(Draining("x")),
        lambda: exchange.request(b"{}"),
        lambda: exchange.writable(False),
        lambda: exchange.writable(True),
        lambda: exchange.tick(1e9),
        lambda: exchange.cut(Draining("x")),
    ]


def test_a_stream_that_cannot_be_written_pauses_its_engine(world) -> None:
    client, sending = streaming(world)
    client.exchange.writable(False)
    assert sending.is_paused
    client.exchange.writable(True)
    assert not sending.is_paused


def test_a_client_that_is_full_before_the_stream_begins_pauses_it_then(world) -> None:
    client = world.open()
    client.exchange.writable(False)
    client.exchange.request(json.dumps(BODIES[0]).encode())
    sending = world.transport.sendings[-1]
    assert sending.sink is not None
    world.clock.advance(100)
    sending.sink.upstream_head(200, b"text/event-stream")
    assert not sending.is_paused
    sending.sink.upstream_data(TEXT, last=False)
    assert sending.is_paused
    world.proxy.sweep()
    assert client.state == "streaming"  # its stall counts from now, not from before the call
    world.clock.advance(31)
    world.proxy.sweep()
    assert client.end is Part.ABORT


def test_a_client_that_does_not_read_is_dropped_and_its_engine_not_blamed(world) -> None:
    client, sending = streaming(world)
    client.exchange.writable(False)
    world.clock.advance(31)
    world.proxy.sweep()
    assert client.end is Part.ABORT
    assert sending.sink is None
    assert world.ends[0].outcome is Outcome.CLIENT_GONE
    assert [replica._failures for replica in world.catalog.replicas()] == [0, 0]


def test_a_client_that_reads_slowly_but_steadily_is_kept(world) -> None:
    client, _ = streaming(world)
    client.waiting = 60_000
    client.exchange.writable(False)
    for waiting in (40_000, 39_999):  # it takes something, never all that waits
        world.clock.advance(25)
        client.waiting = waiting
        world.proxy.sweep()
        assert client.end is None
    world.clock.advance(31)
    world.proxy.sweep()
    assert client.end is Part.ABORT


def test_a_call_that_waits_is_held_back_once_engines_died_under_its_like(world) -> None:
    running = [asked(world, stream=True) for _ in range(2)]
    client = world.open()
    client.exchange.request(json.dumps(BODIES[1]).encode())
    for number in range(2):
        dead = Endpoint(f"dead{number}", TcpAddress("h", 9), "vllm", (), None, 1, 1.0)
        body = upstream_body(client.exchange._envelope, "m")
        world.proxy.quarantine.strike("anonymous", body, Replica(dead, Condition.DOWN))
    dispatched = len(world.transport.sendings)
    running[0][0].exchange.client_gone()
    assert (client.status, world.in_flight()) == (422, 1)
    assert len(world.transport.sendings) == dispatched


def test_a_call_over_keeps_neither_request_nor_answer(world) -> None:
    client, sending = asked(world, stream=False)
    sink = sending.over()
    sink.upstream_head(200, b"application/json")
    sink.upstream_data(PLAIN, last=True)
    assert client.status == 200
    assert client.exchange._envelope is None
    assert client.exchange._body == []


def test_events_before_content_are_bounded(world) -> None:
    client, sending = asked(world, stream=True)
    assert sending.sink is not None
    sending.sink.upstream_head(200, b"text/event-stream")
    fed = 0
    while sending.sink is not None:
        sending.sink.upstream_data(b": keep-alive\n\n" * 100, last=False)
        fed += 1400
        assert fed < 100_000
    assert len(world.transport.sendings) == 2  # tried on the other
    assert client.state == "nothing"


def test_a_plain_answer_is_bounded(world, monkeypatch) -> None:
    monkeypatch.setattr("gateway.proxy.exchange.MAX_ANSWER_BYTES", 1000)
    _, sending = asked(world, stream=False)
    assert sending.sink is not None
    sending.sink.upstream_head(200, b"application/json")
    sending.sink.upstream_data(b"x" * 1000, last=False)
    assert sending.sink is not None
    sending.sink.upstream_data(b"x", last=False)
    assert sending.sink is None


def failing_once(monkeypatch: pytest.MonkeyPatch, owner: object, name: str) -> None:
    """Let a method have a bug, the first time."""
    works, calls = getattr(owner, name), []

    def fails(*args: Any, **fields: Any) -> object:
        calls.append(args)
        return works(*args, **fields) if len(calls) > 1 else 1 // 0

    monkeypatch.setattr(owner, name, fails)


def test_a_bug_in_beginning_a_call_that_waited_ends_that_call_alone(monkeypatch, caplog) -> None:
    world = World(engines=1)
    first, sending = asked(world, stream=False)
    broken, _ = asked(world, stream=False)
    last, _ = asked(world, stream=False)
    failing_once(monkeypatch, world.transport, "send")
    sink = sending.over()
    sink.upstream_head(200, b"application/json")
    sink.upstream_data(PLAIN, last=True)
    assert (first.status, broken.status, last.status) == (200, 500, None)
    assert last.exchange.state is State.DISPATCHED
    assert world.in_flight() == world.proxy.live == 1
    assert "ZeroDivisionError" in caplog.text


def test_a_bug_in_one_call_does_not_keep_the_sweep_from_the_others(world, monkeypatch, caplog) -> None:
    streams = [streaming(world)[0] for _ in range(2)]
    failing_once(monkeypatch, world.proxy.ledger, "progressed")
    world.proxy.sweep()
    assert [client.end for client in streams] == [Part.BROKEN, None]
    assert world.ends[0].outcome is Outcome.INTERNAL_ERROR
    assert world.in_flight() == world.proxy.live == 1
    assert "ZeroDivisionError" in caplog.text


def test_an_impossible_step_is_a_bug_and_told(world) -> None:
    client = world.open()
    with pytest.raises(RuntimeError, match="cannot become"):
        client.exchange.upstream_head(200, b"")
    assert "reading" in repr(client.exchange)


HEADS = [
    ([(b"content-length", b"10000")], None),
    ([(b"content-length", b"10001")], "request_too_large"),
    ([(b"content-length", b"-1")], "invalid_request"),
    ([(b"content-type", b"text/plain")], "unsupported_media_type"),
    ([(b"authorization", b"x")], "invalid_api_key"),
    ([(b"authorization", b"Bearer x"), (b"authorization", b"Bearer x")], "invalid_request"),
]


@pytest.mark.parametrize(("headers", "code"), HEADS)
@pytest.mark.parametrize("is_first", [True, False])
def test_a_head_is_judged_before_its_body_and_its_id_kept(world, headers, code, is_first) -> None:
    wanted = [(b"x-request-id", b"mine")]
    client = world.open([*wanted, *headers] if is_first else [*headers, *wanted])
    refusal = client.exchange.refusal
    assert (None if refusal is None else refusal.code) == code
    assert client.exchange.request_id == "mine"
    assert client.state == "nothing"
    client.exchange.request(b"")
    assert client.state == "over"


# --- large bodies


def parsing(world: World, body: bytes = LARGE) -> FakeClient:
    client = world.open()
    client.exchange.request(body)
    assert client.exchange.state is State.PARSING
    return client


def test_a_large_body_is_read_aside_and_holds_nothing_meanwhile(world) -> None:
    parsing(world)
    assert world.in_flight() == 0
    asked(world, stream=True)
    assert world.in_flight() == 1
    world.aside.finish()
    assert world.in_flight() == 2
    assert [len(sending.body) > LARGE_BYTES for sending in world.transport.sendings] == [False, True]


def test_a_large_body_that_is_wrong_is_refused(world) -> None:
    client = parsing(world, LARGE_AND_WRONG)
    world.aside.finish()
    assert client.status == 400
    assert world.ends[0].code == "invalid_json"


def test_a_bug_in_reading_aside_is_an_answer_and_not_a_call_for_ever(world, monkeypatch, caplog) -> None:
    def fails(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(world.proxy.reader, "read", fails)
    client = parsing(world)
    world.aside.finish()
    assert client.status == 500
    assert "ZeroDivisionError" in caplog.text


WAYS_TO_END = {
    "client gone": (lambda world, client: client.exchange.client_gone(), 499),
    "deadline": (lambda world, client: (world.clock.advance(601), world.proxy.sweep()), 504),
    "cut": (lambda world, client: world.proxy.cut(), 503),
}


@pytest.mark.parametrize(("end", "status"), WAYS_TO_END.values(), ids=WAYS_TO_END.keys())
@pytest.mark.parametrize("has_begun", [False, True])
def test_a_call_that_ends_while_it_is_read_ends_once_and_its_late_result_is_nothing(
    world, end, status, has_begun
) -> None:
    client = parsing(world)
    (work,) = world.aside.work
    if has_begun:
        work.begin()
    end(world, client)
    assert [each.status for each in world.ends] == [status]
    assert work.is_cancelled is not has_begun
    sent = (client.state, client.sent)
    work.begin()
    work.tell()
    assert (client.state, client.sent) == sent
    assert len(world.ends) == 1
    assert world.transport.sendings == []
    assert world.in_flight() == 0


def test_the_time_for_the_body_is_over_once_it_is_there(world) -> None:
    client = parsing(world)
    world.clock.advance(599)
    world.proxy.sweep()
    assert client.state == "nothing"


def test_what_is_said_to_a_call_while_it_is_read_changes_nothing(world) -> None:
    client = parsing(world)
    client.exchange.request(b"{}")
    client.exchange.writable(False)
    client.exchange.writable(True)
    assert client.exchange.state is State.PARSING
    world.aside.finish()
    assert client.exchange.state is State.DISPATCHED


def test_a_complete_stream_gives_its_slot_back_however_slowly_it_is_read(world) -> None:
    client, sending = streaming(world)
    sending.sink.upstream_data(FINISH + DONE, last=False)
    client.exchange.writable(False)
    world.clock.advance(2)
    world.proxy.sweep()
    assert (client.end, world.in_flight()) == (Part.LAST, 0)


def test_what_comes_of_a_body_after_the_end_is_not_counted(world) -> None:
    client = world.open()
    client.exchange.hold(100)
    client.exchange.client_gone()
    assert not client.exchange.hold(100)
    assert world.proxy.held_bytes == 0
