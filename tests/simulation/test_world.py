"""The simulated world behaves as the one it stands for: asyncio's loop and transports over Linux's sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from simulation.world.chance import Chance
from simulation.world.loop import START, Livelock, VirtualLoop
from simulation.world.network import Network
from simulation.world.socket import Socket
from simulation.world.trace import Trace
from simulation.world.wire import Cut, How, Wire

ADDRESS = "10.0.0.1:80"
EVERY_BYTE = bytes(range(256)) * 8


class Side(asyncio.Protocol):
    """Notes what it is told."""

    def __init__(self, *, keeps_open: bool = False) -> None:
        self.keeps_open = keeps_open
        self.received = bytearray()
        self.reads = 0
        self.told: list[str] = []
        self.socket: Socket

    def connection_made(self, transport: Any) -> None:
        self.socket = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        self.reads += 1

    def eof_received(self) -> bool:
        self.told.append("eof")
        return self.keeps_open

    def connection_lost(self, exc: Exception | None) -> None:
        self.told.append(f"lost {type(exc).__name__}" if exc else "lost")

    def pause_writing(self) -> None:
        self.told.append("pause")

    def resume_writing(self) -> None:
        self.told.append("resume")


class World:
    def __init__(self, wire: Wire, cut: Cut | None) -> None:
        self.loop = VirtualLoop()
        trace = Trace(self.loop.time, keep=True)
        self.network = Network(self.loop, trace, Chance(1), lambda *_: (wire, cut))
        self.loop.network = self.network

    def run(self, seconds: float = 1.0) -> None:
        self.loop.run(self.loop.time() + seconds)

    def pair(self, *, keeps_open: bool = False) -> tuple[Side, Side]:
        """Two ends of a connection: who opened it, who took it."""
        near, far = Side(keeps_open=keeps_open), Side(keeps_open=keeps_open)
        self.network.listen(ADDRESS, lambda _: far)
        self.done(self.loop.create_connection(lambda: near, "10.0.0.1", 80))
        return near, far

    def done(self, work: Awaitable[Any], seconds: float = 1.0) -> Any:
        task = asyncio.ensure_future(work, loop=self.loop)
        self.run(seconds)
        return task.result()


@pytest.fixture
def world() -> Iterator[Callable[..., World]]:
    made = []

    def make(wire: Wire = Wire(), cut: Cut | None = None) -> World:  # noqa: B008 - a frozen value
        made.append(World(wire, cut))
        return made[-1]

    yield make
    for each in made:
        each.loop.close()


def test_time_jumps_and_what_is_due_at_once_keeps_its_order(world) -> None:
    loop = world().loop
    seen: list[object] = []
    loop.call_at(START + 3600, seen.append, "late")
    loop.call_at(START + 5, seen.append, "first")
    loop.call_at(START + 5, seen.append, "second")
    loop.call_soon(seen.append, "now")
    loop.call_later(1, seen.append, "never").cancel()
    loop.run(START + 10)
    assert (seen, loop.time()) == (["now", "first", "second"], START + 10)
    loop.run(START + 3600)
    assert seen[-1] == "late"


def test_tasks_and_timeouts_run_on_virtual_time(world) -> None:
    async def patience() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(500):
                await asyncio.sleep(1000)
        return asyncio.get_running_loop().time()

    assert world().done(patience(), 600) == START + 500


def test_work_for_an_executor_is_told_later(world) -> None:
    this = world()
    work = this.loop.run_in_executor(None, len, b"abc")
    this.run(0)
    assert not work.done()
    this.run(0.1)
    assert work.result() == 3


def test_callbacks_without_end_are_told(world) -> None:
    loop = world().loop

    def again() -> None:
        loop.call_soon(again)

    again()
    with pytest.raises(Livelock):
        loop.run(START)


@pytest.mark.parametrize("slice_bytes", [0, 1, 7, 500])
@pytest.mark.parametrize("capacity", [100, 1 << 20])
def test_bytes_arrive_once_and_in_order_however_they_are_cut(world, slice_bytes, capacity) -> None:
    this = world(Wire(slice_bytes=slice_bytes, capacity_bytes=capacity))
    near, far = this.pair()
    for at in range(0, len(EVERY_BYTE), 100):
        near.socket.write(EVERY_BYTE[at : at + 100])
    near.socket.close()
    this.run(60)
    assert bytes(far.received) == EVERY_BYTE
    assert far.told == ["eof", "lost"]
    assert near.told == [*near.told[:-1], "lost"]
    assert not this.network.open


def test_writing_is_paused_at_the_high_mark_and_goes_on_at_the_low_one(world) -> None:
    this = world(Wire(capacity_bytes=1000, high_water_bytes=2000))
    near, far = this.pair()
    far.socket.pause_reading()
    near.socket.write(bytes(3000))
    assert (near.told, near.socket.get_write_buffer_size()) == ([], 2000)
    near.socket.write(b"x")
    assert near.told == ["pause"]
    far.socket.resume_reading()
    this.run()
    assert near.told == ["pause", "resume"]
    assert len(far.received) == 3001


def test_half_a_connection_can_be_closed(world) -> None:
    this = world()
    near, far = this.pair(keeps_open=True)
    near.socket.write(b"question")
    near.socket.write_eof()
    this.run()
    assert (bytes(far.received), far.told) == (b"question", ["eof"])
    far.socket.write(b"answer")
    far.socket.close()
    this.run()
    assert (bytes(near.received), near.told) == (b"answer", ["eof"])
    with pytest.raises(RuntimeError, match="write_eof"):
        near.socket.write(b"more")


def test_an_end_of_file_closes_unless_the_protocol_keeps_it_open(world) -> None:
    this = world()
    near, far = this.pair()
    near.socket.write_eof()
    this.run()
    assert (far.told, near.told) == (["eof", "lost"], ["eof", "lost"])


def test_closing_on_unread_bytes_resets(world) -> None:
    """And the reset overtakes what was written before it."""
    this = world(Wire(latency=0.1))
    near, far = this.pair()
    far.socket.pause_reading()
    near.socket.write(b"never read")
    this.run()
    far.socket.write(b"answer")
    far.socket.close()
    this.run()
    assert (bytes(near.received), near.told) == (b"", ["lost ConnectionResetError"])


def test_bytes_for_a_closed_socket_are_answered_by_a_reset(world) -> None:
    this = world()
    near, far = this.pair(keeps_open=True)
    far.socket.close()
    this.run()
    assert near.told == ["eof"]
    near.socket.write(b"anybody there?")
    this.run()
    assert near.told == ["eof", "lost ConnectionResetError"]


def test_a_reset_is_not_noticed_while_nothing_is_read(world) -> None:
    this = world()
    near, far = this.pair()
    near.socket.pause_reading()
    far.socket.reset()
    this.run()
    assert near.told == []
    near.socket.resume_reading()
    this.run()
    assert near.told == ["lost ConnectionResetError"]


def test_aborting_drops_what_the_process_holds_and_not_what_the_kernel_has(world) -> None:
    this = world(Wire(capacity_bytes=10))
    near, far = this.pair()
    far.socket.pause_reading()
    near.socket.write(b"0123456789abcdef")
    near.socket.abort()
    far.socket.resume_reading()
    this.run()
    assert (bytes(far.received), far.told) == (b"0123456789", ["eof", "lost"])
    assert near.told == ["lost"]


@pytest.mark.parametrize("after", range(6))
@pytest.mark.parametrize("how", [How.FIN, How.RST])
def test_a_connection_is_cut_at_its_byte(world, after, how) -> None:
    this = world(Wire(slice_bytes=2), Cut(after, to_opener=True, how=how))
    near, far = this.pair()
    far.socket.write(b"01234")
    far.socket.write(b"56789")
    this.run()
    assert bytes(near.received) == b"0123456789"[:after]
    assert near.told == (["eof", "lost"] if how is How.FIN else ["lost ConnectionResetError"])
    assert far.told == ["lost ConnectionResetError"]


def test_in_a_hole_everything_vanishes_until_somebody_loses_patience(world) -> None:
    this = world()
    near, far = this.pair()
    this.network.swallow(ADDRESS)
    kernel = near.socket.get_extra_info("socket")
    kernel.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 10_000)
    near.socket.write(b"anybody there?")
    far.socket.write(b"no")
    this.run(9)
    assert (near.told, near.received, far.received) == ([], b"", b"")
    this.run(2)
    assert near.told == ["lost TimeoutError"]
    assert far.told == []


def test_nobody_listening_refuses_and_a_hole_does_not_even_that(world) -> None:
    this = world()
    with pytest.raises(ConnectionRefusedError):
        this.done(this.loop.create_unix_connection(Side, "/nobody"))
    this.network.swallow(ADDRESS)
    waiting = this.loop.create_task(this.loop.create_connection(Side, "10.0.0.1", 80))
    this.run(3600)
    assert not waiting.done()
    waiting.cancel()
    this.run()


def test_giving_up_on_a_connection_closes_it(world) -> None:
    """Whoever took it sees it come and go."""
    this = world(Wire(latency=0.1))
    far = Side()
    this.network.listen(ADDRESS, lambda _: far)
    waiting = this.loop.create_task(this.loop.create_connection(Side, "10.0.0.1", 80))
    this.run(0.15)
    waiting.cancel()
    this.run()
    assert far.told == ["eof", "lost"]
    assert not this.network.open


def test_what_a_protocol_raises_costs_it_its_connection(world) -> None:
    this = world()
    near, far = this.pair()
    far.data_received = lambda _: 1 // 0  # type: ignore[method-assign,assignment]
    near.socket.write(b"x")
    this.run()
    assert far.told == ["lost ZeroDivisionError"]
    assert near.told == ["eof", "lost"]
    assert len(this.loop.complaints) == 1
