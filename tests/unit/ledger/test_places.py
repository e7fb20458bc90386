"""Several spools of one service: each process has its own, and what is left in any is moved."""

import asyncio
import random
from functools import partial

import pytest

from gateway.ledger import segments
from gateway.ledger.ledger import Ledger
from gateway.ledger.places import Adoption, first_free, is_shared
from gateway.ledger.spool import Spool, SpoolError
from tests.support.calls import call
from tests.support.usage import AT, Here, Rows, end


class ClosingHere(Here):
    async def close(self):
        """Nothing to end."""


@pytest.fixture
def make(tmp_path):
    memory = tmp_path / "memory"
    memory.mkdir()
    return partial(Spool, reserve_bytes=0, most_bytes=1 << 30, memory=memory)


@pytest.fixture
def root(tmp_path):
    return tmp_path / "ledger"


def ended(spool):
    spool.close()
    spool.release()


def test_each_process_has_the_first_folder_that_nobody_has(make, root):
    first, second, third = (first_free(root, make) for _ in range(3))
    assert [each.folder for each in (first, second, third)] == [root, root / "process-1", root / "process-2"]
    assert is_shared(root)
    ended(second)
    again = first_free(root, make)
    assert again.folder == root / "process-1"
    for each in (first, third, again):
        ended(each)


def test_trouble_with_a_folder_is_no_reason_to_take_another(make, root):
    root.write_text("a file")
    with pytest.raises(SpoolError):
        first_free(root, make)


async def test_what_a_killed_process_left_is_moved_and_what_one_has_is_not(make, root, committed):
    rows = Rows()
    own, killed, alive = (first_free(root, make) for _ in range(3))
    for spool in (killed, alive):
        ledger = Ledger(spool, now=lambda: AT, rng=random.Random(str(spool.folder)))
        record = ledger.began(call("research"), "engine-0")
        ledger.ended(record, end())
        committed(spool)
    ended(killed)
    adoption = Adoption(
        root,
        own.folder,
        make,
        lambda folder: ClosingHere(folder, rows),
        clock=lambda: asyncio.get_running_loop().time(),
        now=lambda: AT,
        rng=random.Random(1),
    )
    await adoption.look()
    assert adoption.moved == 1
    assert len(rows.kept) == 1
    assert segments.numbers(killed.folder) == []
    assert segments.numbers(alive.folder) != []
    await adoption.look()
    assert adoption.moved == 1
    ended(alive)
    ended(own)
