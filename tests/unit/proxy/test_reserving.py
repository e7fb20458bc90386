"""An Exchange under limits: what it takes is settled once, whatever happens while it waits for it and after."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from gateway.core.errors import Draining
from gateway.core.outcome import Outcome
from gateway.proxy.states import State
from gateway.ratelimit.allowance import Allowance, Allowances, Level
from gateway.ratelimit.limiter import Limiter
from gateway.ratelimit.memory import MemoryCounters
from gateway.transport import Loss
from tests.support.counters import HeldCounters
from tests.unit.proxy.test_exchange import (
    DONE,
    FINISH,
    PLAIN,
    TEXT,
    FakeClient,
    FakeSending,
    Life,
    World,
    event,
)

LIMITS = {"requests_per_minute": 100, "tokens_per_minute": 100_000, "concurrent_requests": 10}
USAGE = event({"choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 7}})
STREAM = {"model": "m", "messages": [{"role": "user"}], "stream": True, "max_tokens": 1000}
WHOLE = {**STREAM, "stream": False}
INPUT = 512
"""At least what a prompt is taken for."""


def allowances(**amounts: int) -> Allowances:
    return Allowances(defaults={Level.TEAM: Allowance(amounts or LIMITS)}, contexts={"m": 4096})


class ReservingLife(Life):
    """The same life, where each call has to wait for its reservation."""

    def __init__(self) -> None:
        super().__init__()
        self.counters = HeldCounters()
        self.world.proxy.limiter = Limiter(allowances(), self.counters)

    @precondition(lambda self: self.counters.waiting)
    @rule(data=st.data(), has_room=st.sampled_from([True, True, True, False]))
    def answer(self, data: st.DataObject, has_room: bool) -> None:
        held = data.draw(st.sampled_from(self.counters.waiting))
        if has_room:
            held.take()
        else:
            held.refuse()

    @invariant()
    def what_is_taken_is_held_by_one_that_lives(self) -> None:
        live = [client.exchange for client in self.clients if client.exchange in self.world.proxy._live]
        assert len(self.counters.waiting) == sum(each.state is State.RESERVING for each in live)
        assert len(self.counters.open) == sum(each._reservation is not None for each in live)
        for held in self.counters.taken:
            assert held.used is None or held.used[2] <= held.amounts[2]

    def teardown(self) -> None:
        super().teardown()
        assert (self.counters.waiting, self.counters.open) == ([], [])


TestReservingLife = ReservingLife.TestCase
TestReservingLife.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


class CountedLife(Life):
    """The same life, with limits that refuse."""

    def __init__(self) -> None:
        super().__init__()
        clock = self.world.clock
        self.counters = MemoryCounters(clock=clock, wall=clock)
        limits = allowances(requests_per_minute=6, tokens_per_minute=20_000, concurrent_requests=3)
        self.world.proxy.limiter = Limiter(limits, self.counters)

    @invariant()
    def slots_are_those_of_live_calls(self) -> None:
        live = sum(client.exchange._reservation is not None for client in self.clients if self.lives(client))
        assert self.counters.held() == live <= 3

    def lives(self, client: FakeClient) -> bool:
        return client.exchange in self.world.proxy._live

    def teardown(self) -> None:
        super().teardown()
        assert self.counters.held() == 0


TestCountedLife = CountedLife.TestCase
TestCountedLife.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)


# --- single cases


@pytest.fixture
def counters() -> HeldCounters:
    return HeldCounters()


@pytest.fixture
def world(counters: HeldCounters) -> World:
    made = World()
    made.proxy.limiter = Limiter(allowances(), counters)
    return made


def reserving(world: World, body: dict[str, Any] = STREAM) -> FakeClient:
    client = world.open()
    client.exchange.request(json.dumps(body).encode())
    assert client.exchange.state is State.RESERVING
    return client


def dispatched(
    world: World, counters: HeldCounters, body: dict[str, Any] = STREAM
) -> tuple[FakeClient, FakeSending]:
    client = reserving(world, body)
    counters.waiting[0].take()
    sending = world.transport.sendings[-1]
    assert sending.sink is not None
    return client, sending


def streaming(world: World, counters: HeldCounters) -> tuple[FakeClient, FakeSending]:
    client, sending = dispatched(world, counters)
    sending.sink.upstream_head(200, b"text/event-stream")
    sending.sink.upstream_data(TEXT, last=False)
    return client, sending


def test_nothing_is_sent_or_queued_before_it_is_reserved(world, counters) -> None:
    reserving(world)
    assert (world.transport.sendings, world.admission.waiting("m")) == ([], 0)
    counters.waiting[0].take()
    assert len(world.transport.sendings) == 1


def test_a_refused_reservation_is_a_refused_call(world, counters) -> None:
    client = reserving(world)
    counters.waiting[0].refuse(after=1.5)
    assert client.status == 429
    assert world.ends[0].outcome is Outcome.RATE_LIMITED
    assert world.transport.sendings == []


WAYS_TO_END = {
    "client gone": (lambda world, client: client.exchange.client_gone(), 499),
    "too late": (lambda world, client: (world.clock.advance(31), world.proxy.sweep()), 503),
    "cut": (lambda world, client: world.proxy.cut(), 503),
    "refused": (lambda world, client: client.exchange.refuse(Draining("x")), 503),
}


@pytest.mark.parametrize(("end", "status"), WAYS_TO_END.values(), ids=WAYS_TO_END.keys())
def test_who_ends_while_it_reserves_cancels_what_it_asked_for(world, counters, end, status) -> None:
    client = reserving(world)
    held = counters.waiting[0]
    end(world, client)
    assert [each.status for each in world.ends] == [status]
    assert held.is_cancelled
    assert world.transport.sendings == []


def test_a_reservation_that_comes_too_late_is_given_back(world, counters) -> None:
    client = reserving(world)
    held = counters.waiting[0]
    client.exchange.client_gone()
    counters.waiting.append(held)  # an answer that was on its way
    held.take()
    assert held.used == [0, 0, 0]
    assert world.transport.sendings == []


def used(counters: HeldCounters) -> list[int]:
    found = counters.taken[-1].used
    assert found is not None
    return found


def test_the_engines_count_is_what_counts(world, counters) -> None:
    _, sending = streaming(world, counters)
    sending.over().upstream_data(FINISH + USAGE + DONE, last=True)
    assert used(counters) == [1, 18, 0]


def test_of_a_whole_answer_too(world, counters) -> None:
    client, sending = dispatched(world, counters, WHOLE)
    sink = sending.over()
    sink.upstream_head(200, b"application/json")
    sink.upstream_data(PLAIN, last=True)
    assert used(counters) == [1, 1, 0]
    assert client.status == 200


def test_who_waits_for_a_replica_and_leaves_used_nothing(counters) -> None:
    world = World(engines=1)
    world.proxy.limiter = Limiter(allowances(), counters)
    dispatched(world, counters)
    client = reserving(world)
    counters.waiting[0].take()
    assert client.exchange.state is State.WAITING
    client.exchange.client_gone()
    assert used(counters) == [0, 0, 0]


def test_whom_every_engine_turns_away_used_nothing(world, counters) -> None:
    client, _ = dispatched(world, counters)
    for _ in range(2):
        sink = world.transport.sendings[-1].over()
        sink.upstream_head(503, b"application/json")
        sink.upstream_data(b"{}", last=True)
    client.exchange.client_gone()
    assert used(counters) == [0, 0, 0]


def test_what_an_engine_refuses_is_one_request_and_no_tokens(world, counters) -> None:
    _, sending = dispatched(world, counters, WHOLE)
    sink = sending.over()
    sink.upstream_head(400, b"application/json")
    sink.upstream_data(b"{}", last=True)
    assert used(counters) == [1, 0, 0]


def test_what_engines_break_before_they_answer_is_one_request_and_no_tokens(world, counters) -> None:
    dispatched(world, counters, WHOLE)
    for _ in range(2):
        world.transport.sendings[-1].over().upstream_lost(Loss.LOST)
    assert used(counters) == [1, 0, 0]


def test_a_stream_that_its_client_leaves_counts_its_prompt_and_no_more_tokens_than_bytes_came(
    world, counters
) -> None:
    client, _ = streaming(world, counters)
    taken = counters.taken[-1].amounts[1]
    client.exchange.client_gone()
    assert used(counters) == [1, taken - 1000 + len(TEXT), 0]
    assert used(counters)[1] > INPUT


def test_a_whole_answer_that_its_client_leaves_counts_as_it_was_taken(world, counters) -> None:
    client, _ = dispatched(world, counters, WHOLE)
    client.exchange.client_gone()
    assert used(counters) == [*counters.taken[-1].amounts[:2], 0]


def test_a_call_sent_twice_is_settled_once(world, counters) -> None:
    dispatched(world, counters)
    world.transport.sendings[-1].over().upstream_lost(Loss.LOST)
    sink = world.transport.sendings[-1].over()
    sink.upstream_head(200, b"text/event-stream")
    sink.upstream_data(TEXT + FINISH + USAGE + DONE, last=True)
    assert world.ends[0].attempts == 2
    assert used(counters) == [1, 18, 0]


def test_a_stream_that_its_engine_breaks_off_for_load_counts_what_came(world, counters) -> None:
    _, sending = streaming(world, counters)
    sending.sink.upstream_data(event({"error": {"message": "m", "code": 503}}), last=False)
    assert used(counters)[0] == 1
    assert used(counters)[1] > INPUT
    assert world.ends[0].outcome is Outcome.UPSTREAM_ERROR


def test_who_reaches_no_engine_used_nothing(world, counters) -> None:
    dispatched(world, counters)
    for _ in range(2):
        world.transport.sendings[-1].over().upstream_lost(Loss.REFUSED)
    assert used(counters) == [0, 0, 0]
