"""A gateway killed again and again under load: what engines were sent is what the ledger has, each once (F38, G3).

    python -m tests.faults.ledger_kills --kills 100

The engines are not killed: their journals hold every dispatch of all the gateway's lives. A row may be there of a call
that no engine saw, killed between its record and its sending; it is `unknown`, and has no tokens.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import signal
import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvloop

from gateway.ledger.records import UNKNOWN
from tests.faults.asking import Asked, ask, body
from tests.faults.processes import EngineProcess, GatewayProcess, in_front_of
from tests.support.product import until

CLIENTS = 16
PACE = ("--sim-ttft-ms", "5", "--sim-itl-ms", "5", "--sim-tokens", "1000", "--sim-log-records", "1000000")
TOKENS = (1, 4, 40, 200)


@dataclass
class Books:
    """What came of it."""

    kills: int
    journal: list[dict[str, Any]]
    """All that engines were sent."""
    rows: list[dict[str, Any]]
    files_left: list[str] = field(default_factory=list)

    def dispatched(self) -> Counter[str]:
        """Request → how often an engine was sent it."""
        return Counter(_request(record) for record in self.journal)

    def recorded(self) -> Counter[str]:
        """Request → its rows."""
        return Counter(row["request_id"] for row in self.rows)

    def lost(self) -> set[str]:
        """Requests that an engine was sent and that have no row."""
        return set(self.dispatched()) - set(self.recorded())

    def doubled(self) -> list[str]:
        return [request for request, count in self.recorded().items() if count > 1]

    def unknown(self) -> list[dict[str, Any]]:
        return [row for row in self.rows if row["outcome"] == UNKNOWN]

    def unseen(self) -> list[dict[str, Any]]:
        """Rows of what no engine saw."""
        dispatched = self.dispatched()
        return [row for row in self.rows if row["request_id"] not in dispatched]

    def missing_tokens(self) -> list[int]:
        """Of each stream that was killed: tokens that its engine sent and its row has not."""
        sent = {_request(record): record["tokens_sent"] for record in self.journal}
        return [
            sent[row["request_id"]] - row["completion_tokens"]
            for row in self.unknown()
            if row["stream"] and row["request_id"] in sent
        ]

    def wrong(self) -> list[dict[str, Any]]:
        """Rows of answers that were complete, with other tokens than the engine sent."""
        sent = {_request(record): record["tokens_sent"] for record in self.journal}
        return [
            row
            for row in self.rows
            if row["outcome"] == "ok" and sent.get(row["request_id"]) != row["completion_tokens"]
        ]

    def __str__(self) -> str:
        missing = self.missing_tokens()
        return (
            f"{self.kills} kills: engines were sent {len(self.dispatched())} requests, the ledger has "
            f"{len(self.rows)} rows; lost {len(self.lost())}, doubled {len(self.doubled())}, "
            f"wrong {len(self.wrong())}; {len(self.unknown())} unknown, of which {len(self.unseen())} had not been sent; "
            f"tokens missing of a killed stream: {max(missing, default=0)} at most"
        )


def _request(record: dict[str, Any]) -> str:
    """The client's name of what an engine was sent: the gateway puts something behind it."""
    first, number, *_ = record["request_id"].split("-")
    return f"{first}-{number}"


async def storm(
    gateway: GatewayProcess,
    engines: Sequence[EngineProcess],
    *,
    kills: int,
    rng: random.Random,
    say: Callable[[str], None] = lambda _: None,
) -> Books:
    """Kill `gateway` `kills` times at random moments under load and start it again; then let it end well."""
    is_over = False
    number = 0

    async def client() -> None:
        nonlocal number
        while not is_over:
            number += 1
            is_plain = rng.random() < 0.3
            tokens = rng.choice(TOKENS)
            asked = Asked(number, body(tokens=tokens, stream=not is_plain, text=f"Count to {number}."))
            await ask(gateway.address, asked)
            await asyncio.sleep(0.002)  # a port that refuses would be asked without a pause

    async with asyncio.TaskGroup() as group:
        for _ in range(CLIENTS):
            group.create_task(client())
        for kill in range(kills):
            await asyncio.sleep(rng.uniform(0.02, 1.5))
            await asyncio.to_thread(gateway.kill)
            await asyncio.to_thread(gateway.start)
            await asyncio.to_thread(gateway.wait_until_ready, len(engines))
            if kill % 10 == 9:
                say(f"{kill + 1} kills, {number} requests")
        await asyncio.sleep(0.5)
        is_over = True
    await asyncio.to_thread(gateway.wait_until_nothing_is_held)
    await asyncio.to_thread(_wait_until_even, gateway)
    gateway.signal(signal.SIGTERM)
    await asyncio.to_thread(gateway.wait)
    journal = [record for engine in engines for record in await asyncio.to_thread(engine.journal)]
    return Books(kills, journal, rows_of(gateway.data), sorted(path.name for path in _segments(gateway.data)))


def _wait_until_even(gateway: GatewayProcess) -> None:
    """Wait until all that was recorded is in the database."""
    until(
        lambda: (
            gateway.metric("cascadia_ledger_lag_seconds") < 3
            and gateway.metric("cascadia_ledger_rows_total") >= gateway.metric("cascadia_ledger_calls_total")
        ),
        seconds=30,
        what=gateway.fail,
        every=0.2,
    )


def _segments(data: Path) -> list[Path]:
    return list((data / "ledger").glob("*.seg"))


def rows_of(data: Path) -> list[dict[str, Any]]:
    """The table `usage` of the SQLite database in `data`."""
    connection = sqlite3.connect(data / "cascadia.db")
    try:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute("SELECT * FROM usage")]
    finally:
        connection.close()


def engines_in(folder: Path) -> list[EngineProcess]:
    return [EngineProcess(folder, f"e{number}", *PACE, is_tcp=number == 0) for number in range(2)]


def main() -> None:
    """The full size, from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    told = parser.parse_args()
    print(f"seed {told.seed}")
    with tempfile.TemporaryDirectory(prefix="kills-") as name:
        folder = Path(name)
        engines = engines_in(folder)
        with in_front_of(engines, folder) as gateway:
            found = uvloop.run(
                storm(gateway, engines, kills=told.kills, rng=random.Random(told.seed), say=print)
            )
    print(found)
    assert not found.lost(), sorted(found.lost())[:5]
    assert not found.doubled()
    assert not found.wrong(), found.wrong()[:3]


if __name__ == "__main__":
    main()
