"""Who is not taken for a request that kills engines (F25, G7)."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

from tests.faults.asking import Got
from tests.faults.kills import engines_in, storm
from tests.faults.processes import in_front_of


async def test_a_hundred_clients_that_ask_the_same_are_not_taken_for_one_request(
    short_folder: Path, figure: Callable[[str, str], None]
) -> None:
    """A load test, a health check: two engines die under them within a minute, and they did nothing."""
    made = engines_in(short_folder)
    with in_front_of(made, short_folder) as front:
        found = await storm(front, made, kills=10, clients=110, rng=random.Random(1), is_one=True)
    figure("engines killed under clients that ask the same", str(found))
    assert found.got()[Got.REFUSED] == 0
