"""The load client counts an answer only if it is whole."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from benchmarks.client import Address, Client, Connection, Sample, now
from benchmarks.requests import MODEL, Request, chat
from engines.simulated import Options, SimulatedEngine

TOKENS = 5
PLAIN = chat("key", body_bytes=1024, tokens=TOKENS, stream=False)
STREAM = chat("key", body_bytes=1024, tokens=TOKENS, stream=True)


@asynccontextmanager
async def engine(**script: Any) -> AsyncIterator[tuple[SimulatedEngine, Address]]:
    async with SimulatedEngine(Options(model=MODEL), **script).serve() as found:
        host, _, port = found.address.removeprefix("http://").rpartition(":")
        yield found, (host, int(port))


async def ask(client: Client, request: Request) -> Sample:
    done: asyncio.Future[Sample] = asyncio.get_running_loop().create_future()
    client.send(request, now(), done.set_result)
    return await asyncio.wait_for(done, 5)


@pytest.fixture
async def clients() -> AsyncIterator[Callable[[Address], Client]]:
    made: list[Client] = []

    def make(address: Address) -> Client:
        made.append(Client([address]))
        return made[-1]

    yield make
    for client in made:
        client.close()


def test_a_request_has_the_size_that_was_asked_for():
    for request in (PLAIN, STREAM):
        head, _, body = request.payload.partition(b"\r\n\r\n")
        assert len(body) == 1024
        assert b"content-length: 1024" in head


async def test_whole_answers_count_and_their_connection_is_used_again(clients):
    async with engine() as (server, address):
        client = clients(address)
        for request in (PLAIN, STREAM, PLAIN, STREAM):
            assert (await ask(client, request)).failure is None
        assert (client.completed, client.lost.total(), server.connections) == (4, 0, 1)
        assert client.events == 2 * (1 + TOKENS + 1)


async def test_events_are_counted_right_wherever_the_bytes_are_split(clients):
    async with engine() as (server, address):
        client = clients(address)
        for size in range(1, 8):
            server.reset()
            server.fault("slow", split_bytes=size)
            assert (await ask(client, STREAM)).failure is None, size


class Unsent(asyncio.Transport):
    """What is written goes nowhere."""

    def write(self, data: Any) -> None:
        pass


async def test_events_that_come_in_one_piece_are_told_from_those_that_come_alone():
    client = Client([("127.0.0.1", 1)])
    connection = Connection(client)
    connection.connection_made(Unsent())
    connection.begin(STREAM, now(), lambda _: None)
    connection.data_received(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    for count in (1, 3, 1):
        events = b"data: {}\n\n" * count
        connection.data_received(b"%x\r\n%b\r\n" % (len(events), events))
    assert (client.events, client.pieces) == (5, 3)


async def test_the_first_content_is_later_than_the_opening_event_and_earlier_than_the_end(clients):
    async with engine(itl_ms=5) as (_, address):
        sample = await ask(clients(address), STREAM)
        assert sample.first is not None
        assert sample.started < sample.first < sample.ended


@pytest.mark.parametrize(
    ("fault", "failure"),
    [
        ({"kind": "status", "status": 500}, "status 500"),
        ({"kind": "close", "after_events": 2}, "closed"),
        ({"kind": "reset", "after_events": 2}, "reset"),
        ({"kind": "early_end", "after_events": 3}, "no [DONE]"),
        ({"kind": "tamper", "what": "second_done"}, "wrong number of events"),
    ],
)
async def test_a_stream_that_is_not_whole_is_lost_with_its_reason(clients, fault, failure):
    async with engine() as (server, address):
        client = clients(address)
        server.fault(fault.pop("kind"), **fault)
        assert (await ask(client, STREAM)).failure == failure
        assert (client.completed, dict(client.lost)) == (0, {failure: 1})


async def test_a_stream_without_its_end_is_lost(clients):
    async with engine() as (_, address):
        longer = Request(STREAM.payload, STREAM.stream, TOKENS + 1, STREAM.completion)
        assert (await ask(clients(address), longer)).failure == "wrong number of events"


async def test_an_answer_with_the_wrong_number_of_tokens_is_lost(clients):
    async with engine() as (_, address):
        other = Request(PLAIN.payload, PLAIN.stream, 9, b'"completion_tokens":9')
        assert (await ask(clients(address), other)).failure == "wrong number of tokens"


async def test_a_system_that_is_not_there_is_a_loss_too(clients):
    async with engine() as (_, address):
        pass
    assert (await ask(clients(address), PLAIN)).failure == "refused"
