"""Which status of a worker may follow which, as a table: a change that it does not list is a bug of ours."""

from __future__ import annotations

from collections.abc import Mapping

from engines.roster import WorkerStatus

_S = WorkerStatus

TRANSITIONS: Mapping[WorkerStatus, frozenset[WorkerStatus]] = {
    _S.WAITING: frozenset({_S.STARTING, _S.STOPPED, _S.FAILED}),
    _S.STARTING: frozenset({_S.READY, _S.WAITING, _S.STOPPED, _S.FAILED}),
    _S.READY: frozenset({_S.DRAINING, _S.WAITING, _S.FAILED}),
    _S.DRAINING: frozenset({_S.STOPPED}),
    _S.STOPPED: frozenset(),
    _S.FAILED: frozenset({_S.STOPPED}),
}


def check(old: WorkerStatus, new: WorkerStatus) -> None:
    """Raise `ValueError` unless `new` may follow `old`."""
    if new not in TRANSITIONS[old]:
        raise ValueError(f"a worker cannot go from {old} to {new}")
