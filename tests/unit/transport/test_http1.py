"""The upstream client against real sockets, and its parser fed byte by byte."""

from __future__ import annotations

import asyncio
import dataclasses
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.fleet.endpoint import Endpoint, TcpAddress, parse_address
from gateway.openai.operations import CHAT, COMPLETIONS
from gateway.transport import Http1, Loss
from gateway.transport.http1 import MAX_HEAD_BYTES, Connection
from tests.support.blackhole import blackhole
from tests.support.clock import Clock
from tests.support.gateway import until
from tests.support.peer import Ending
from tests.support.scripted import ScriptedEngine, chunk, whole

ANSWER = whole(b'{"x":1}')


class Sink:
    """Notes what it is told; `on_data` acts in the middle of it."""

    def __init__(self) -> None:
        self.head: tuple[int, bytes] | None = None
        self.data = b""
        self.is_last = False
        self.loss: Loss | None = None
        self.told: list[str] = []
        self.on_head: Callable[[], None] = lambda: None
        self.on_last: Callable[[], None] = lambda: None

    @property
    def is_over(self) -> bool:
        return self.is_last or self.loss is not None

    def upstream_head(self, status: int, content_type: bytes) -> None:
        assert not self.is_over
        self.told.append("head")
        self.head = (status, content_type)
        self.on_head()

    def upstream_data(self, data: bytes, *, last: bool) -> None:
        assert not self.is_over
        self.told.append("last" if last else "data")
        self.data += data
        self.is_last = last
        if last:
            self.on_last()

    def upstream_lost(self, loss: Loss) -> None:
        assert not self.is_over
        self.told.append("lost")
        self.loss = loss


class Client:
    """A transport and one endpoint."""

    def __init__(self, address: str, clock: Clock, **changes: Any) -> None:
        self.http = Http1(connect_seconds=0.2, clock=clock)
        fields = {"api_key": None, "max_in_flight": 4, "idle_seconds": 4.0, **changes}
        self.endpoint = Endpoint(
            id="e", address=parse_address(address), engine="vllm", models=(("m", "m"),), **fields
        )

    def send(
        self, *, fresh: bool = False, body: bytes = b"{}", sink: Sink | None = None
    ) -> tuple[Sink, Connection]:
        sink = sink or Sink()
        return sink, self.http.send(self.endpoint, CHAT, "id-1", body, sink, fresh=fresh)

    async def answered(self, **how: Any) -> Sink:
        sink, _ = self.send(**how)
        await until(lambda: sink.is_over)
        return sink

    @property
    def idle(self) -> list[Connection]:
        return [each for pool in self.http._pools.values() for each in pool._idle]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[ScriptedEngine]:
    async with ScriptedEngine([ANSWER]).serve(tmp_path / "e.sock") as serving:
        yield serving


@pytest.fixture
async def client(engine: ScriptedEngine, clock: Clock) -> AsyncIterator[Client]:
    made = Client(engine.address, clock)
    yield made
    await made.http.close()


async def test_a_request_is_our_head_and_the_body(engine, clock) -> None:
    client = Client(engine.address, clock, api_key="k")
    await client.answered(body=b'{"a":1}')
    assert engine.requests[0] == (
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: engine\r\ncontent-type: application/json\r\n"
        b"accept-encoding: identity\r\nauthorization: Bearer k\r\nx-request-id: id-1\r\ncontent-length: 7\r\n\r\n"
        b'{"a":1}'
    )
    client.http.send(client.endpoint, COMPLETIONS, "id-2", b"", Sink(), fresh=False)
    await until(lambda: len(engine.requests) == 2)
    assert engine.requests[1].startswith(b"POST /v1/completions HTTP/1.1\r\n")
    await client.http.close()


async def test_the_last_used_connection_is_used_next(engine, client) -> None:
    pairs = [client.send() for _ in range(3)]
    await until(lambda: all(sink.is_over for sink, _ in pairs))
    last = client.idle[-1]
    sink, connection = client.send()
    assert connection is last
    await until(lambda: sink.is_over)
    assert client.idle[-1] is last
    assert engine.accepted == 3


async def test_a_connection_may_be_used_by_who_is_told_of_its_end(engine, client) -> None:
    sink = Sink()
    following: list[Sink] = []
    sink.on_last = lambda: following.append(client.send()[0])
    await client.answered(sink=sink)
    await until(lambda: following and following[0].is_over)
    assert engine.accepted == 1
    assert following[0].data == b'{"x":1}'


async def test_old_idle_connections_are_closed_and_not_used(engine, client, clock) -> None:
    pairs = [client.send() for _ in range(3)]
    await until(lambda: all(sink.is_over for sink, _ in pairs))
    clock.advance(4.0)
    await client.answered()
    assert engine.accepted == 4
    await until(lambda: len(engine.connections) == 1)


async def test_no_more_connections_are_kept_than_calls_may_run(engine, clock) -> None:
    client = Client(engine.address, clock, max_in_flight=2)
    pairs = [client.send() for _ in range(5)]
    await until(lambda: all(sink.is_over for sink, _ in pairs))
    assert len(client.idle) == 2
    await until(lambda: len(engine.connections) == 2)
    await client.http.close()
    await until(lambda: not engine.connections)


async def test_fresh_is_a_new_connection(engine, client) -> None:
    await client.answered()
    await client.answered(fresh=True)
    assert engine.accepted == 2


@pytest.mark.parametrize("noise", [b"x", b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n"])
async def test_what_an_idle_engine_says_ends_the_connection(engine, client, noise) -> None:
    await client.answered()
    for connection in engine.connections:
        connection.transport.write(noise)
    await until(lambda: not client.idle)
    assert (await client.answered()).data == b'{"x":1}'
    assert engine.accepted == 2


async def test_an_idle_connection_that_the_engine_closes_is_forgotten(engine, client) -> None:
    await client.answered()
    for connection in tuple(engine.connections):
        connection.transport.close()
    await until(lambda: not client.idle)


ANSWERS = {
    "length": ([ANSWER], b'{"x":1}'),
    "chunked": (
        [b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", chunk(b"ab"), chunk(b"c"), b"0\r\n\r\n"],
        b"abc",
    ),
    "trailers": (
        [b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", chunk(b"ab"), b"0\r\nx: y\r\n\r\n"],
        b"ab",
    ),
    "interim": (
        [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early\r\nlink: x\r\n\r\n", ANSWER],
        b'{"x":1}',
    ),
    "interim in one": ([b"HTTP/1.1 100 Continue\r\n\r\n" + ANSWER], b'{"x":1}'),
    "empty": ([whole(b"")], b""),
    "no content": ([b"HTTP/1.1 204 No Content\r\n\r\n"], b""),
    "upper case": ([ANSWER.replace(b"content-type", b"Content-TYPE")], b'{"x":1}'),
}


@pytest.mark.parametrize(("parts", "body"), ANSWERS.values(), ids=ANSWERS.keys())
async def test_answers_of_every_framing_are_read_and_the_connection_kept(engine, client, parts, body) -> None:
    engine.parts = parts
    for _ in range(2):
        sink = await client.answered()
        assert sink.data == body
        assert sink.is_last
        assert sink.told[0] == "head"
    assert engine.accepted == 1
    assert sink.head is not None
    assert sink.head[0] in {200, 204}


@pytest.mark.parametrize("name", ["length", "chunked", "trailers", "interim"])
async def test_an_answer_cut_anywhere_into_two_reads_is_the_same(name) -> None:
    """Straight into the protocol: each read is exactly as cut."""
    parts, body = ANSWERS[name]
    raw = b"".join(parts)
    for at in range(1, len(raw)):
        sink, connection = Sink(), connected()
        connection.begin(b"", sink)
        connection.data_received(raw[:at])
        connection.data_received(raw[at:])
        assert (sink.data, sink.is_last, sink.loss) == (body, True, None), at
        assert sink.head is not None
        assert sink.head[0] == 200


class Wire(asyncio.Transport):
    """A transport that goes nowhere."""

    def __init__(self) -> None:
        super().__init__()
        self.is_aborted = False
        self.written = b""

    def write(self, data: Any) -> None:
        self.written += data

    def abort(self) -> None:
        self.is_aborted = True

    def is_closing(self) -> bool:
        return self.is_aborted

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


class NoPool:
    """A pool that keeps everything."""

    def __init__(self) -> None:
        self.kept: list[Connection] = []

    def give_back(self, connection: Connection) -> None:
        self.kept.append(connection)

    def lost(self, connection: Connection) -> None:
        pass


def connected() -> Connection:
    connection = Connection(NoPool())  # type: ignore[arg-type]
    connection.begin(b"", Sink())
    connection.connection_made(Wire())
    connection._sink = None
    return connection


def test_two_answers_to_one_request_are_one_answer_and_no_kept_connection() -> None:
    second = whole(b"second", status=500, head=b"content-type: text/x\r\n")
    for raw in ([ANSWER + second], [ANSWER[:-1], ANSWER[-1:] + second]):
        sink, connection = Sink(), connected()
        connection.begin(b"", sink)
        for part in raw:
            connection.data_received(part)
        assert (sink.head, sink.data) == ((200, b"application/json"), b'{"x":1}')
        assert sink.is_last
        assert connection._pool.kept == []  # type: ignore[attr-defined]
        assert connection._transport.is_aborted  # type: ignore[union-attr]


@pytest.mark.parametrize("head", [b"connection: close\r\n", b"connection: foo, close\r\n"])
async def test_a_connection_that_is_to_be_closed_is_not_kept(engine, client, head) -> None:
    engine.parts = [whole(b"x", head=head)]
    assert (await client.answered()).data == b"x"
    assert client.idle == []
    await until(lambda: not engine.connections)


GARBAGE = {
    "words": b"hello\r\n\r\n",
    "request": b"GET / HTTP/1.1\r\n\r\n",
    "TLS": b"\x15\x03\x01\x00\x02\x02\x16",
    "two lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nx",
    "bad length": b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
    "bad chunk": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    "upgrade": b"HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n",
    "endless head": b"HTTP/1.1 200 OK\r\nx: " + b"y" * (MAX_HEAD_BYTES + 1),
    "many interim": b"HTTP/1.1 100 Continue\r\n\r\n" * (MAX_HEAD_BYTES // 25 + 1),
}


@pytest.mark.parametrize("raw", GARBAGE.values(), ids=GARBAGE.keys())
async def test_what_is_not_http_is_garbage(engine, client, raw) -> None:
    engine.parts = [raw]
    sink = await client.answered()
    assert sink.loss is Loss.GARBAGE
    await until(lambda: not engine.connections)


@pytest.mark.parametrize("ending", [Ending.FIN, Ending.RST])
async def test_a_loss_on_a_new_connection_is_a_loss(ending, clock) -> None:
    async with ScriptedEngine([], ending).serve() as engine:
        client = Client(engine.address, clock)
        assert (await client.answered()).loss is Loss.LOST
        await client.http.close()


@pytest.mark.parametrize("ending", [Ending.FIN, Ending.RST])
async def test_a_loss_on_a_kept_connection_before_a_byte_is_stale_and_after_one_it_is_not(
    ending, clock
) -> None:
    async with ScriptedEngine([ANSWER]).serve() as engine:
        client = Client(engine.address, clock)
        for part, loss in ((b"", Loss.STALE), (b"H", Loss.LOST), (ANSWER[:-1], Loss.LOST)):
            engine.parts, engine.ending = [ANSWER], Ending.OPEN
            await client.answered(fresh=True)
            engine.parts, engine.ending = [part], ending
            assert (await client.answered()).loss is loss
        await client.http.close()


async def test_nobody_there_is_refused(tmp_path, clock) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        for address in (f"unix:{tmp_path}/nobody", f"http://127.0.0.1:{free.getsockname()[1]}"):
            client = Client(address, clock)
            assert (await client.answered()).loss is Loss.REFUSED
            await client.http.close()


@pytest.mark.parametrize("address", [f"unix:/{'x' * 200}", "http://a..test:1"])
async def test_an_address_that_cannot_be_is_refused(address, clock) -> None:
    client = Client(address, clock)
    assert (await client.answered()).loss is Loss.REFUSED
    await client.http.close()


async def test_connecting_takes_no_longer_than_it_may(clock) -> None:
    with blackhole() as address:
        client = Client(address, clock)
        assert (await client.answered()).loss is Loss.REFUSED
        await until(lambda: not client.http._connecting)
        await client.http.close()


async def test_a_sending_given_up_while_it_connects_sends_nothing(engine, client) -> None:
    sink, connection = client.send()
    connection.close()
    await until(lambda: not client.http._connecting)
    await client.answered()
    assert len(engine.requests) == 1
    assert sink.told == []


async def test_a_sending_given_up_is_told_nothing_and_the_engine_sees_it(engine, client) -> None:
    engine.parts = [ANSWER[:-1]]
    sink, connection = client.send()
    await until(lambda: sink.head)
    connection.close()
    await until(lambda: not engine.connections)
    assert sink.told == ["head", "data"]
    assert client.idle == []


async def test_a_sink_may_give_up_at_the_head(engine, client) -> None:
    sink, connection = client.send()
    sink.on_head = connection.close
    await until(lambda: sink.head)
    await until(lambda: not engine.connections)
    assert sink.told == ["head"]


async def test_a_paused_sending_is_read_no_further(engine, client) -> None:
    engine.parts = [b"HTTP/1.1 200 OK\r\ncontent-length: 4000000\r\n\r\n", *[b"x" * 100_000] * 40]
    sink, connection = client.send()
    sink.on_head = connection.pause
    await until(lambda: any(each.transport.get_write_buffer_size() for each in engine.connections))
    taken = len(sink.data)
    assert taken < 1_000_000
    connection.pause()
    connection.resume()
    connection.resume()
    await until(lambda: sink.is_last)
    assert len(sink.data) == 4_000_000
    engine.parts = [ANSWER]
    assert (await client.answered()).data == b'{"x":1}'
    assert engine.accepted == 1


async def test_forgetting_an_endpoint_closes_its_idle_connections_and_those_in_use_when_they_are_done(
    engine, client
) -> None:
    await client.answered()
    engine.parts = [ANSWER[:-1]]
    sink, _ = client.send(fresh=True)
    await until(lambda: sink.head)
    client.http.forget(client.endpoint)
    await until(lambda: len(engine.connections) == 1)
    for connection in engine.connections:
        connection.transport.write(ANSWER[-1:])
    await until(lambda: sink.is_last)
    await until(lambda: not engine.connections)
    engine.parts = [ANSWER]
    assert (await client.answered()).is_last


async def test_a_changed_endpoint_does_not_use_the_old_ones_connections(engine, client) -> None:
    await client.answered()
    client.endpoint = dataclasses.replace(client.endpoint, api_key="new")
    await client.answered()
    assert b"Bearer new" in engine.requests[1]
    assert engine.accepted == 2
    client.http.forget(dataclasses.replace(client.endpoint, api_key="another"))
    await client.answered()
    assert engine.accepted == 2


async def test_tcp_connections_notice_a_host_that_is_gone(clock) -> None:
    async with ScriptedEngine([ANSWER]).serve() as engine:
        client = Client(engine.address, clock)
        assert isinstance(client.endpoint.address, TcpAddress)
        await client.answered()
        sock = client.idle[0]._transport.get_extra_info("socket")  # type: ignore[union-attr]
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 9_500
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
        assert b"host: " + engine.address.removeprefix("http://").encode() in engine.requests[0]
        await client.http.close()
