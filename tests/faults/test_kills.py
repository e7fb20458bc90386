"""Engines killed under a hundred requests: nobody without content loses anything, everybody else is told (F1-F4, G7)."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

from tests.faults.asking import Got
from tests.faults.kills import engines_in, storm
from tests.faults.processes import in_front_of

KILLS = int(os.environ.get("FAULTS_KILLS", "20"))
CLIENTS = 110


async def test_kills_lose_nothing_that_has_no_content_and_tell_the_rest(
    short_folder: Path, figure: Callable[[str, str], None], say: Callable[[str], None]
) -> None:
    engines = engines_in(short_folder)
    with in_front_of(engines, short_folder) as gateway:
        found = await storm(gateway, engines, kills=KILLS, clients=CLIENTS, rng=random.Random(1), say=say)
        gateway.wait_until_nothing_is_held()
        figure("engines killed", str(found))
        assert not [(asked.got(), asked.raw) for asked in found.lost()]
        got = found.got()
        assert got[Got.INTERRUPTED] > KILLS  # the kills did hit streams, or this shows nothing
        assert got[Got.COMPLETE] > KILLS
        assert max(found.dispatches.values()) <= 2
        calls = {call["request_id"]: call for call in gateway.calls()}
        assert len(calls) == len(found.asked)
        assert max(call["attempts"] for call in calls.values()) >= 2  # some were sent again
        for asked in found.asked:
            assert (calls[asked.id]["outcome"] == "ok") == (asked.got() is Got.COMPLETE)
