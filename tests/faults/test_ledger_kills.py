"""A gateway killed under load: what engines were sent is what the ledger has, each once (F38, G3)."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

from tests.faults.ledger_kills import engines_in, storm
from tests.faults.processes import in_front_of

KILLS = int(os.environ.get("FAULTS_LEDGER_KILLS", "4"))


async def test_kills_lose_no_record_and_double_none(
    short_folder: Path, figure: Callable[[str, str], None], say: Callable[[str], None]
) -> None:
    folder = short_folder / "books"  # other tests keep theirs in `short_folder` itself
    folder.mkdir()
    engines = engines_in(folder)
    with in_front_of(engines, folder) as gateway:
        books = await storm(gateway, engines, kills=KILLS, rng=random.Random(3), say=say)
    figure("gateway killed", str(books))
    assert not books.lost()
    assert not books.doubled()
    assert not books.wrong()
    assert books.unknown()  # the kills did hit calls, or this shows nothing
    assert all(row["outcome"] == "unknown" and not row["completion_tokens"] for row in books.unseen())
    assert max(books.missing_tokens()) <= 256
    assert books.files_left == []
