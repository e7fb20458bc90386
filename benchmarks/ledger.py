"""What the ledger costs the event loop for one call: `python -m benchmarks.ledger`.

The least of many repeats, as in `benchmarks.hot_path`; the spool's own thread writes meanwhile. Then how long records are on
their way to the disk, and how many rows come to SQLite in a second.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from benchmarks.processes import cpu_seconds
from gateway.core.call import Call, Envelope, Principal, Tier
from gateway.core.outcome import End, Outcome, Usage
from gateway.ledger import Ledger
from gateway.ledger.clerk.clerk import Clerk
from gateway.ledger.clerk.words import Task
from gateway.ledger.drain import Drain
from gateway.ledger.records import Began, encode
from gateway.ledger.rows import Kept
from gateway.ledger.spool import Spool
from gateway.ledger.usage import DAY
from gateway.store import sqlite

ROUNDS = 40
CALLS = 250
ROWS = 20_000
_CALL = Call(
    "req-0123456789abcdef01234567",
    Principal("research", "3kTMd8tVwq1x"),
    "chat",
    "tiny",
    0.0,
    600.0,
    Tier.DEFAULT,
    Envelope("tiny", True, True, b"x" * 1000, b""),
)
_END = End(
    _CALL.id,
    "chat",
    _CALL.principal,
    "tiny",
    True,
    Outcome.OK,
    200,
    None,
    "tiny-0",
    1,
    Usage(240, 16, 0),
    0.0,
    0.001,
    0.02,
    0.2,
)


class Nowhere:
    """Takes records and keeps none: what is left is what making them costs."""

    is_full = False

    def append(self, payload: bytes) -> None:
        """Drop it."""


def least(do: Callable[[], None]) -> float:
    """Microseconds of one of `CALLS` calls of `do`, in the best round."""
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for _ in range(CALLS):
            do()
        best = min(best, time.perf_counter() - began)
        time.sleep(0.03)  # let the spool's thread have its turn
    return best / CALLS * 1e6


def one_call(ledger: Ledger) -> Callable[[], None]:
    """Both records of one call."""
    return lambda: ledger.ended(ledger.began(_CALL, "tiny-0"), _END)


def main() -> None:
    """Print it."""
    now = time.time
    with tempfile.TemporaryDirectory() as name:
        spool = Spool(Path(name) / "ledger", reserve_bytes=0, most_bytes=1 << 30)
        spool.open()
        ledger = Ledger(spool, now=now, rng=random.Random(1))
        nowhere = Ledger(Nowhere(), now=now, rng=random.Random(1))
        began = nowhere.began(_CALL, "tiny-0").began
        assert isinstance(began, Began)
        payload = encode(began)
        print(f"append of one record of {len(payload)} bytes: {least(lambda: spool.append(payload)):.2f} us")
        print(f"both records of a call, made only: {least(one_call(nowhere)):.2f} us")
        print(f"both records of a call, made and appended: {least(one_call(ledger)):.2f} us")
        print(f"to the disk, median and worst of 100: {durable(spool, payload)}")
        spool.close()
        spool.release()
    rate, clerks, own = asyncio.run(drained())
    print(
        f"rows to SQLite: {rate:.0f} in a second; CPU of the clerk {clerks:.1f} us a row, here {own:.1f} us"
    )


def durable(spool: Spool, payload: bytes) -> str:
    """How long one record at a time takes until it is on disk."""
    found = []
    for _ in range(100):
        while spool.committed < spool.number:
            time.sleep(0.001)
        time.sleep(0.005)
        began = time.perf_counter()
        spool.append(payload)
        while spool.committed < spool.number:
            time.sleep(0.0002)
        found.append(time.perf_counter() - began)
    found.sort()
    return f"{found[50] * 1000:.1f} ms, {found[-1] * 1000:.1f} ms"


async def drained() -> tuple[float, float, float]:
    """Rows that are moved in a second, and microseconds of CPU for each, of the clerk and of this process."""
    with tempfile.TemporaryDirectory() as name:
        spool = Spool(Path(name) / "ledger", reserve_bytes=0, most_bytes=1 << 30)
        clerk = Clerk(Task(str(spool.folder), sqlite(Path(name) / "cascadia.db"), Kept(90 * DAY, 800 * DAY)))
        await clerk.prune()  # starts it, and makes the database
        (pid,) = (child.pid for child in psutil.Process().children())
        ledger = Ledger(spool, now=time.time, rng=random.Random(1))
        drain = Drain(spool, ledger, clerk, clock=time.monotonic)
        spool.open()
        for _ in range(ROWS):
            one_call(ledger)()
        while spool.committed < spool.number:  # noqa: ASYNC110 - a thread has no events of the loop
            await asyncio.sleep(0.01)
        began, clerks, own = time.perf_counter(), cpu_seconds(pid), time.process_time()
        await drain.step()
        seconds, clerks, own = (
            time.perf_counter() - began,
            cpu_seconds(pid) - clerks,
            time.process_time() - own,
        )
        await clerk.close()
        spool.close()
        spool.release()
        return ROWS / seconds, clerks / ROWS * 1e6, own / ROWS * 1e6


if __name__ == "__main__":
    main()
