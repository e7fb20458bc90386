from __future__ import annotations

import itertools

import pytest

from engines.launch.lifecycle import TRANSITIONS, check
from engines.roster import WorkerStatus


def test_every_status_has_a_row_and_only_stopped_is_final():
    assert TRANSITIONS.keys() == set(WorkerStatus)
    assert [status for status, following in TRANSITIONS.items() if not following] == [WorkerStatus.STOPPED]


def test_what_the_table_does_not_list_is_refused():
    for old, new in itertools.product(WorkerStatus, repeat=2):
        if new in TRANSITIONS[old]:
            check(old, new)
        else:
            with pytest.raises(ValueError, match=f"from {old} to {new}"):
                check(old, new)


def test_only_a_worker_that_answered_is_ever_ready():
    assert [old for old, following in TRANSITIONS.items() if WorkerStatus.READY in following] == [
        WorkerStatus.STARTING
    ]
