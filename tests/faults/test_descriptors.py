"""More connections than the gateway has file descriptors for: it idles, serves whom it can, and recovers (F49)."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.faults.asking import body
from tests.faults.processes import EngineProcess, GatewayProcess, in_front_of
from tests.support.peer import Peer, request

Figure = Callable[[str, str], None]
DESCRIPTORS = 256
CROWD = 300
WATCHED_SECONDS = 2.0
ASK = request(body(tokens=2, stream=False), more_headers=[("connection", "close")])
ASK_AGAIN = request(body(tokens=2, stream=False))


@pytest.fixture
def gateway(short_folder: Path, tmp_path: Path) -> Iterator[GatewayProcess]:
    engine = EngineProcess(short_folder, "descriptors", "--sim-tokens", "2")
    with in_front_of([engine], tmp_path, descriptors=DESCRIPTORS) as running:
        yield running


@contextlib.contextmanager
def crowd(address: tuple[str, int], count: int = CROWD) -> Iterator[list[socket.socket]]:
    """So many connections that say nothing, until this block is left."""
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in connections:
            one.setblocking(False)
            one.connect_ex(address)
        yield connections


async def cpu_share(gateway: GatewayProcess) -> float:
    """How much of one core it uses now."""
    before = gateway.cpu_seconds
    await asyncio.sleep(WATCHED_SECONDS)
    return (gateway.cpu_seconds - before) / WATCHED_SECONDS


async def status(address: tuple[str, int]) -> int | None:
    """Of one request on a connection of its own; `None` when it was not answered."""
    peer = await Peer.connect(address)
    try:
        await peer.send(ASK)
        await peer.end()
    except OSError:
        return None
    finally:
        peer.close()
    return int(peer.buffer[9:12]) if peer.buffer else None


async def seconds_until_served(address: tuple[str, int]) -> float:
    began = time.monotonic()
    while await status(address) != 200:
        assert time.monotonic() - began < 10
        await asyncio.sleep(0.01)
    return time.monotonic() - began


async def test_a_crowd_above_what_there_are_descriptors_for_locks_nobody_out(
    gateway: GatewayProcess, figure: Figure
) -> None:
    """It takes as many connections as it has descriptors for; one that says nothing makes room for the next."""
    with crowd(gateway.address):
        await asyncio.sleep(0.5)
        assert gateway.descriptors < DESCRIPTORS
        assert [await status(gateway.address) for _ in range(20)] == [200] * 20
        share = await cpu_share(gateway)
        assert share < 0.5
    figure(f"CPU with {CROWD} connections and {DESCRIPTORS} file descriptors", f"{share:.1%}")
    await seconds_until_served(gateway.address)


async def test_out_of_descriptors_it_does_not_spin_and_recovers_when_they_leave(
    gateway: GatewayProcess, figure: Figure
) -> None:
    """Something else took them: the limit is lowered under the running process."""
    kept = await Peer.connect(gateway.address)
    assert (await kept.ask(ASK_AGAIN)).status == 200
    before = gateway.descriptors
    limit = before + 20
    psutil.Process(gateway.pid).rlimit(resource.RLIMIT_NOFILE, (limit, DESCRIPTORS))
    with crowd(gateway.address, 60):
        await asyncio.sleep(0.5)
        share = await cpu_share(gateway)
        assert gateway.descriptors >= limit - 1  # it has none left, or this shows nothing
        assert (await kept.ask(ASK_AGAIN)).status == 200  # its engine's connection is kept too
        assert share < 0.5
    recovered = await seconds_until_served(gateway.address)
    kept.close()
    figure("out of file descriptors", f"CPU {share:.1%}; served again {recovered:.2f} s after the crowd left")
    assert gateway.is_running
