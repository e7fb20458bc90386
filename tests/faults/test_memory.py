"""Everything at once that takes memory, under a cap of 512 MiB: it lives, and serves who is honest (G16: A5, A6, A22, F15, F58)."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from asyncio.subprocess import PIPE
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.asking import Asked, Got, ask, body
from tests.faults.flood import FloodProcess
from tests.faults.hungry import ATTACKS
from tests.faults.processes import EngineProcess, in_front_of
from tests.support.product import REPOSITORY

CAP_BYTES = 512 << 20
ATTACK_SECONDS = 6.0
EACH = 2
"""How many of each attack go on at a time."""
UNREAD = 30
"""Connections that do not read what they asked for."""


@pytest.fixture
def capped() -> Iterator[Path | None]:
    """A memory control group with the cap, where this user may have one: `None` elsewhere."""
    group = Path(f"/sys/fs/cgroup/memory/faults-{os.getpid()}")
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(CAP_BYTES))
    except OSError:
        yield None
        return
    yield group
    group.rmdir()


async def test_all_attacks_on_memory_at_once_leave_it_alive_and_serving(
    short_folder: Path, tmp_path: Path, capped: Path | None, figure: Callable[[str, str], None]
) -> None:
    engines = [EngineProcess(short_folder, "fed", is_tcp=False), FloodProcess(short_folder)]
    enter = f'echo $$ > {capped}/cgroup.procs && exec "$@"'
    before = () if capped is None else ("sh", "-c", enter, "sh")
    sections = {"timeouts": {"header": 3, "body": 3, "stall": 3}}
    with in_front_of(engines, tmp_path, sections=sections, before=before) as gateway:
        calm = gateway.peak_bytes
        address = gateway.address
        got: Counter[Got] = Counter()
        seconds: list[float] = []
        how = ["--seconds", str(ATTACK_SECONDS), "--each", str(EACH), "--unread", str(UNREAD)]
        command = [sys.executable, "-m", "tests.faults.hungry", *map(str, address), *how]
        attacking = await asyncio.create_subprocess_exec(*command, cwd=REPOSITORY, stdout=PIPE)
        telling = asyncio.create_task(attacking.communicate())
        while not telling.done():
            asked = Asked(got.total(), body(tokens=3, stream=got.total() % 2 == 0))
            began = time.monotonic()
            await ask(address, asked)
            seconds.append(time.monotonic() - began)
            got[asked.got()] += 1
        counts: Counter[str] = Counter(json.loads(telling.result()[0]))
        assert gateway.is_running, gateway.said()
        peak = gateway.peak_bytes
        slow = sorted(seconds)
        figure(
            f"memory under {len(ATTACKS)} attacks at once",
            f"peak {peak >> 20} MiB (calm {calm >> 20}), {counts.total()} attacks, "
            f"{'no cap to be had' if capped is None else 'in a control group of 512 MiB'}; honest client "
            f"{got[Got.COMPLETE]} of {got.total()} answered, median {slow[len(slow) // 2] * 1000:.0f} ms",
        )
        assert peak < CAP_BYTES
        assert set(got) == {Got.COMPLETE}
        assert got.total() >= 5
        assert set(counts) == set(ATTACKS)
        gateway.wait_until_nothing_is_held()
        after = Asked(0, body(tokens=3, stream=True))
        await ask(address, after)
        assert after.got() is Got.COMPLETE
        if capped is not None:
            assert "oom_kill 0" in (capped / "memory.oom_control").read_text()
