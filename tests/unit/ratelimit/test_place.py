"""Where the server is, as a configuration says it."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from redis.crc import key_slot

from gateway.ratelimit.shared.count import TAG
from gateway.ratelimit.shared.link import Login
from gateway.ratelimit.shared.place import SLOT, Kind, place_of
from gateway.ratelimit.shared.resp import Parser, command


def test_a_url_says_host_port_database_and_user():
    place = place_of("redis://me@cache.example:7000/3", password="secret")
    assert place.hosts == (("cache.example", 7000),)
    assert place.login == Login("me", "secret", 3)
    assert place.tls is None


def test_a_unix_socket_is_a_path():
    assert place_of("unix:///run/valkey.sock").path == "/run/valkey.sock"


def test_rediss_checks_certificates():
    tls = place_of("rediss://cache.example").tls
    assert tls is not None
    assert tls.check_hostname


def test_our_keys_lie_in_one_slot_of_a_cluster():
    assert key_slot(f"{TAG}:w60000:key:a|requests|60".encode()) == SLOT


@contextlib.asynccontextmanager
async def serving(answers):
    """A server that answers each command from a table: its port, and what it was asked."""
    asked, done = [], []

    async def serve(reader, writer):
        done.append(asyncio.current_task())
        parser = Parser()
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                for words in parser.feed(data):
                    asked.append(words)
                    writer.write(answers[words[0]])
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], asked
    finally:
        server.close()
        async with asyncio.timeout(10):
            await asyncio.gather(*done)


class _Reached(asyncio.Protocol):
    def connection_made(self, transport):
        self.peer = transport.get_extra_info("peername")
        transport.abort()


@pytest.mark.parametrize("kind", [Kind.SENTINEL, Kind.CLUSTER])
async def test_the_master_is_asked_for_each_time_and_of_whoever_answers(kind):
    where = b"$9\r\n127.0.0.1\r\n"
    async with serving({}) as (port, _):
        told = {
            b"AUTH": b"+OK\r\n",
            b"SENTINEL": b"*2\r\n%b$%d\r\n%d\r\n" % (where, len(str(port)), port),
            b"CLUSTER": b"*2\r\n*3\r\n:0\r\n:5000\r\n*2\r\n$1\r\nx\r\n:1\r\n"
            b"*3\r\n:5001\r\n:16383\r\n*2\r\n%b:%d\r\n" % (where, port),
        }
        async with serving(told) as (guide, asked):
            others = (f"127.0.0.1:{guide}",)
            place = place_of("redis://127.0.0.1:1", password="p", others=others, kind=kind, master="m")
            for _ in range(2):
                protocol = _Reached()
                await place.dial()(lambda found=protocol: found)
                assert protocol.peer == ("127.0.0.1", port)
        assert [words[0] for words in asked].count(b"AUTH") == 2


@pytest.mark.parametrize(
    "answer", [b"*-1\r\n", b"-ERR unknown command\r\n", b"*0\r\n", b"nonsense\r\n", b"+OK\r\n"]
)
@pytest.mark.parametrize("kind", [Kind.SENTINEL, Kind.CLUSTER])
async def test_nobody_who_knows_the_master_is_a_connection_that_cannot_be_had(kind, answer):
    async with serving({b"SENTINEL": answer, b"CLUSTER": answer}) as (guide, _):
        place = place_of(f"redis://127.0.0.1:{guide}", kind=kind, master="m")
        with pytest.raises(OSError, match=kind.value):
            await place.dial()(asyncio.Protocol)


def test_commands_that_a_parser_reads_are_those_that_we_write():
    assert Parser().feed(command(b"AUTH", b"p")) == [[b"AUTH", b"p"]]


NO_PLACES = {
    "no number": b"*2\r\n$4\r\nhost\r\n$4\r\nport\r\n",
    "no text": b"*2\r\n$2\r\n\xff\xfe\r\n$4\r\n6379\r\n",
    "no host": b"*2\r\n$2\r\na\x00\r\n$4\r\n6379\r\n",
    "no name": b"*2\r\n$66\r\n%b.b\r\n$4\r\n6379\r\n" % (b"a" * 64),
    "no port": b"*2\r\n$9\r\n127.0.0.1\r\n$7\r\n9999999\r\n",
}


@pytest.mark.parametrize("answer", NO_PLACES.values(), ids=list(NO_PLACES))
async def test_an_odd_answer_of_a_sentinel_is_a_connection_that_cannot_be_had(answer):
    async with serving({b"SENTINEL": answer}) as (guide, _):
        place = place_of(f"redis://127.0.0.1:{guide}", kind=Kind.SENTINEL, master="m")
        with pytest.raises(OSError, match=r"."):
            await place.dial()(asyncio.Protocol)
