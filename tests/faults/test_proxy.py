"""Each toxic against an echo server, in time that passes when somebody sleeps: order, bytes and counts."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from tests.faults.proxy import Direction, FaultProxy
from tests.faults.toxics import (
    Bandwidth,
    Latency,
    LimitData,
    ResetPeer,
    Slicer,
    SlowClose,
    Timeout,
    Toxic,
)
from tests.support.gateway import until
from tests.support.peer import Ending, Peer

LINE = b"the quick brown fox jumps over the lazy dog\n"
BOTH = pytest.mark.parametrize("direction", list(Direction), ids=lambda direction: direction.value)


class Hours:
    """Time that passes only by sleeping, each sleep noted. One wire at a time: sleeps of two would add up."""

    def __init__(self) -> None:
        self.at = 0.0
        self.slept: list[float] = []

    def now(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.at += seconds
        await asyncio.sleep(0)


class Echo:
    """Gives back what it gets, piece by piece, and keeps the pieces; ends when the other side does."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.endings: list[Ending] = []
        self.is_silent = False

    @property
    def received(self) -> bytes:
        return b"".join(self.pieces)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ending = Ending.FIN
        try:
            while piece := await reader.read(65536):
                self.pieces.append(piece)
                if not self.is_silent:
                    writer.write(piece)
        except ConnectionResetError:
            ending = Ending.RST
        self.endings.append(ending)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


@pytest.fixture
async def echo() -> AsyncIterator[tuple[Echo, tuple[str, int]]]:
    server_ = Echo()
    server = await asyncio.start_server(server_.answer, "127.0.0.1", 0)
    yield server_, server.sockets[0].getsockname()
    server.close()
    await server.wait_closed()


@pytest.fixture
def hours() -> Hours:
    return Hours()


@pytest.fixture
async def proxy(echo, hours) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(echo[1], rng=random.Random(7), sleep=hours.sleep, now=hours.now).serve() as running:
        yield running


async def said(proxy: FaultProxy, data: bytes = LINE) -> tuple[bytes, Ending]:
    """What comes back of `data`, and how the connection ended, for a client that ends its side."""
    peer = await Peer.connect(proxy.address)
    await peer.send(data)
    peer.socket.shutdown(socket.SHUT_WR)
    ending = await peer.end()
    peer.close()
    return bytes(peer.buffer), ending


async def test_without_a_toxic_it_is_a_wire(proxy, echo) -> None:
    """A half-close stays one: the answer comes behind it."""
    big = random.Random(1).randbytes(3_000_000)
    assert await said(proxy, big) == (big, Ending.FIN)
    assert echo[0].endings == [Ending.FIN]
    assert proxy.carried_bytes == {Direction.UPSTREAM: len(big), Direction.DOWNSTREAM: len(big)}
    await until(lambda: proxy.connections == 0)


async def test_a_reset_is_handed_on(proxy, echo) -> None:
    peer = await Peer.connect(proxy.address)
    await peer.send(LINE)
    await peer.until(LINE)
    peer.reset()
    await until(lambda: echo[0].endings == [Ending.RST])


async def test_a_server_that_is_not_there_is_a_reset(echo, unused: Callable[[], tuple[str, int]]) -> None:
    async with FaultProxy(unused()).serve() as proxy:
        assert await said(proxy, b"") == (b"", Ending.RST)


async def test_unix_sockets_on_both_sides(tmp_path: Path) -> None:
    echo = Echo()
    server = await asyncio.start_unix_server(echo.answer, str(tmp_path / "e"))
    async with FaultProxy(tmp_path / "e").serve(tmp_path / "p") as proxy:
        peer = await Peer.connect(str(tmp_path / "p"))
        await peer.send(LINE)
        assert await peer.until(LINE) == LINE
        assert proxy.url == f"unix:{tmp_path / 'p'}"
        proxy.cut(Ending.RST)
        await peer.end()
        peer.close()
    server.close()
    await server.wait_closed()


@BOTH
async def test_latency_delays_every_piece_from_its_arrival_and_keeps_the_order(
    proxy, echo, hours, direction
) -> None:
    proxy.add("late", Latency(0.2, jitter=0.1), direction)
    assert await said(proxy) == (LINE, Ending.FIN)
    first, *_ = hours.slept
    assert 0.1 <= first <= 0.3
    assert all(pause <= 0.3 for pause in hours.slept)


async def test_latency_does_not_add_up_over_the_pieces_of_one_read(proxy, hours) -> None:
    """Sliced first, late second: all pieces came at one time, so all are due at one time."""
    proxy.add("slices", Slicer(1))
    proxy.add("late", Latency(0.2))
    assert await said(proxy) == (LINE, Ending.FIN)
    assert hours.at <= 0.4  # the line and the end behind it


async def test_the_same_seed_spoils_in_the_same_way(echo) -> None:
    async def slept(seed: int) -> list[float]:
        hours = Hours()
        async with FaultProxy(
            echo[1], rng=random.Random(seed), sleep=hours.sleep, now=hours.now
        ).serve() as proxy:
            proxy.add("late", Latency(0.2, jitter=0.1))
            await said(proxy)
        return hours.slept[:1]

    assert await slept(1) == await slept(1)
    assert await slept(1) != await slept(2)


@BOTH
async def test_bandwidth_takes_the_time_that_the_bytes_take(proxy, echo, hours, direction) -> None:
    proxy.add("slow", Bandwidth(1000), direction)
    data = bytes(range(250)) * 4
    assert await said(proxy, data) == (data, Ending.FIN)
    assert sum(hours.slept) == pytest.approx(1.0)
    assert max(hours.slept) <= 0.05


@BOTH
async def test_slow_close_delays_the_end_alone(proxy, hours, direction) -> None:
    proxy.add("close", SlowClose(5), direction)
    assert await said(proxy) == (LINE, Ending.FIN)
    assert hours.slept == [5]


async def test_timeout_lets_nothing_through_and_closes(proxy, echo, hours) -> None:
    proxy.add("stop", Timeout(3), Direction.UPSTREAM)
    received, _ = await said(proxy)
    assert received == b""
    assert hours.slept == [3]
    assert echo[0].received == b""


async def test_timeout_without_a_time_never_closes(proxy, echo) -> None:
    proxy.add("stop", Timeout())
    peer = await Peer.connect(proxy.address)
    await peer.send(LINE)
    await until(lambda: echo[0].received == LINE)
    for _ in range(20):
        await asyncio.sleep(0)
    assert proxy.connections == 1
    assert proxy.carried_bytes[Direction.DOWNSTREAM] == 0
    proxy.remove("stop")
    await peer.send(LINE)
    assert await peer.until(LINE) == LINE  # the first one is gone
    peer.close()


@BOTH
async def test_reset_peer_resets_both_sides(proxy, echo, hours, direction) -> None:
    proxy.add("reset", ResetPeer(2), direction)
    peer = await Peer.connect(proxy.address)
    await peer.send(LINE)
    assert await peer.end() is Ending.RST
    assert not peer.buffer
    peer.close()
    assert hours.slept == [2]
    await until(lambda: echo[0].endings == [Ending.RST])


async def test_slicer_gives_small_pieces_in_order(proxy, echo, hours) -> None:
    proxy.add("slices", Slicer(4, variation=2, pause=0.01), Direction.UPSTREAM)
    assert await said(proxy) == (LINE, Ending.FIN)
    assert len(LINE) / 6 <= len(hours.slept) <= len(LINE) / 2
    assert len(echo[0].pieces) > 1


@BOTH
@pytest.mark.parametrize("ending", [Ending.FIN, Ending.RST])
async def test_limit_data_passes_exactly_so_many_bytes(proxy, echo, direction, ending) -> None:
    for limit in (0, 1, len(LINE) - 1):
        echo[0].pieces.clear()
        proxy.add("limit", LimitData(limit, ending), direction)
        received, ended = await said(proxy)
        if direction is Direction.DOWNSTREAM:
            assert (received, ended) == (LINE[:limit], ending)
        else:
            assert echo[0].received == LINE[:limit]
            assert ended is ending


async def test_limit_data_above_what_comes_changes_nothing(proxy) -> None:
    proxy.add("limit", LimitData(len(LINE) + 1))
    assert await said(proxy) == (LINE, Ending.FIN)


async def test_down_refuses_and_drops_and_up_is_back_at_the_same_place(proxy) -> None:
    peer = await Peer.connect(proxy.address)
    await peer.send(LINE)
    await peer.until(LINE)
    await proxy.down()
    await peer.end()
    assert peer.ending is not Ending.OPEN
    with socket.socket() as probe:
        assert probe.connect_ex(proxy.address) == errno.ECONNREFUSED
    await proxy.up()
    assert await said(proxy) == (LINE, Ending.FIN)
    peer.close()


async def test_toxics_compose_in_the_order_of_adding(proxy, hours) -> None:
    """Cut to a limit before it is sliced: as many slices as bytes that passed."""
    proxy.add("limit", LimitData(10))
    proxy.add("slices", Slicer(1, pause=0.5))
    assert await said(proxy) == (LINE[:10], Ending.FIN)
    assert hours.slept == [0.5] * 10


async def test_toxics_come_and_go_while_it_runs(proxy, echo, hours) -> None:
    peer = await Peer.connect(proxy.address)
    for toxic in (None, Latency(1.0), None):
        if toxic is None:
            proxy.clear()
        else:
            proxy.add("late", toxic, Direction.UPSTREAM)
        peer.buffer.clear()
        await peer.send(LINE)
        await peer.until(LINE)
    peer.close()
    assert hours.slept == [1.0]


async def test_each_connection_has_its_own_limit(proxy) -> None:
    proxy.add("limit", LimitData(5))
    assert [await said(proxy) for _ in range(3)] == [(LINE[:5], Ending.FIN)] * 3


async def test_a_server_that_does_not_read_stops_the_client(proxy, echo) -> None:
    """The proxy is no bottomless buffer: a client that writes too much is held up."""
    stuck: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    class Stuck:
        def open(self, _: object) -> Callable[..., Awaitable[None]]:
            async def carry(*_: object) -> None:
                await stuck

            return carry

    toxic: Toxic = Stuck()
    proxy.add("stuck", toxic, Direction.UPSTREAM)
    peer = await Peer.connect(proxy.address)
    peer.socket.setblocking(False)
    sent = 0
    with contextlib.suppress(BlockingIOError):
        while sent < 64 << 20:
            sent += peer.socket.send(bytes(65536))
            await asyncio.sleep(0.002)
    assert sent < 64 << 20
    assert proxy.carried_bytes[Direction.UPSTREAM] == 0
    peer.close()
    stuck.cancel()
