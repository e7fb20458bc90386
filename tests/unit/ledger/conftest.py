"""Spools in a folder of the test's, with a slate that is no shared memory of the machine."""

import contextlib

import pytest

from gateway.ledger.spool import Spool
from tests.support.product import until


@pytest.fixture
def make_spool(tmp_path):
    """Open a spool. Those that the test does not close are closed, as by a process that ends well."""
    opened = []
    memory = tmp_path / "memory"
    memory.mkdir()

    def make(**how):
        spool = Spool(
            tmp_path / "ledger", **{"reserve_bytes": 0, "most_bytes": 1 << 30, "memory": memory, **how}
        )
        spool.open()
        opened.append(spool)
        return spool

    yield make
    for spool in opened:
        with contextlib.suppress(ValueError):
            spool.close()
        spool.release()


@pytest.fixture
def committed():
    """Wait until all that was appended is on disk."""

    def wait(spool):
        until(lambda: spool.committed == spool.number, seconds=10, what=lambda: repr(spool), every=0.001)

    return wait
