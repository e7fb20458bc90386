"""A data folder on a disk that fills up: new calls are refused, those that run are recorded, and it mends itself (F37).

Needs a file system of its own, so the right to mount one. `tests/unit/ledger/test_spool.py` has the same with a disk that
only says that it is full.
"""

from __future__ import annotations

import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.faults.asking import body
from tests.faults.ledger_kills import rows_of
from tests.faults.processes import EngineProcess, in_front_of
from tests.support.product import until

RESERVE = 256 * 1024


@pytest.fixture
def small_disk(short_folder: Path) -> Iterator[Path]:
    """A file system of 4 MiB."""
    place = short_folder / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def fill(path: Path) -> None:
    """Write to `path` until there is no room left. Raises `OSError` then."""
    with path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def test_a_full_disk_refuses_new_calls_and_serves_again_by_itself(
    short_folder: Path, small_disk: Path, figure: Callable[[str, str], None]
) -> None:
    engine = EngineProcess(short_folder, "e", "--sim-ttft-ms", "1", "--sim-itl-ms", "1", is_tcp=False)
    sections = {"ledger": {"reserve_bytes": RESERVE}}
    with in_front_of([engine], short_folder, data=small_disk / "data", sections=sections) as gateway:
        host, port = gateway.address
        url = f"http://{host}:{port}/v1/chat/completions"
        answered: list[str] = []

        def ask() -> int:
            answer = httpx.post(url, json=body(tokens=2, stream=False), timeout=30, trust_env=False)
            if answer.status_code == 200:
                answered.append(answer.headers["x-request-id"])
            else:
                assert (answer.status_code, answer.json()["error"]["code"]) == (503, "store_unavailable")
            return answer.status_code

        reserve = small_disk / "data" / "ledger" / "reserve"
        until(reserve.exists, seconds=30, what=gateway.fail)
        assert ask() == 200
        filler = small_disk / "filler"
        with pytest.raises(OSError, match="No space"):
            fill(filler)
        until(lambda: ask() == 503, seconds=60, what=gateway.fail)
        assert not reserve.exists()
        assert gateway.admin("/readyz").json()["reason"] == "usage cannot be recorded"
        assert gateway.metric("cascadia_ledger_accepting") == 0
        filler.unlink()
        until(lambda: ask() == 200, seconds=60, what=gateway.fail)
        until(
            lambda: {row["request_id"] for row in rows_of(gateway.data)} == set(answered),
            seconds=60,
            what=gateway.fail,
        )
        assert gateway.metric("cascadia_ledger_dropped_records_total") == 0
        with sqlite3.connect(gateway.data / "cascadia.db") as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        connection.close()
        figure(
            "disk full", f"{len(answered)} calls answered, each with its row; refused while full; no restart"
        )
