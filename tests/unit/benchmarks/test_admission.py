"""The benchmark of the queue measures what it says."""

from __future__ import annotations

import pytest

from benchmarks.admission import MODEL, Rig
from gateway.admission import ORDERINGS


@pytest.mark.parametrize("ordering", sorted(ORDERINGS))
def test_a_round_leaves_the_queue_as_long_and_the_replicas_as_full(ordering: str) -> None:
    rig = Rig(ordering, waiting=20, replicas=3, slots=2)
    before = list(rig._held)
    for _ in range(40):
        rig.round()
        rig.come_and_go()
    assert rig._admission.waiting(MODEL) == 20
    assert len(rig._held) == 6
    assert not all(lease in before for lease in rig._held)
