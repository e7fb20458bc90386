"""One answer of the administration out of those of all processes.

What each process keeps for itself is asked of all, and what an operator says of a replica or of a request in quarantine is
said to all. What is in a file or in the database is one process's to answer: it is not named here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from gateway.siblings.asking import Answer
from gateway.siblings.pages import ended

Merge = Callable[[Sequence[Answer]], Answer]
"""Takes at least one answer, first that of the process that was asked."""

OK, NOT_FOUND = 200, 404


def _alike(answers: Sequence[Answer]) -> Answer:
    """All calls of one id, wherever they were."""
    found = [story for each in _well(answers) for story in each["data"]]
    return Answer(OK, {"data": sorted(found, key=ended, reverse=True)}) if found else answers[0]


def _replica(answers: Sequence[Answer]) -> Answer:
    found = _well(answers)
    return Answer(OK, _one_replica(found)) if found else answers[0]


def _replicas(answers: Sequence[Answer]) -> Answer:
    by_id: dict[str, list[dict[str, Any]]] = {}
    for each in _well(answers):
        for replica in each["data"]:
            by_id.setdefault(replica["id"], []).append(replica)
    return Answer(OK, {"data": [_one_replica(each) for each in by_id.values()]})


def _one_replica(seen: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A replica as all processes have it: its calls and its limit are the sums, and ejected it is when one says so."""
    return {
        **seen[0],
        "drained": all(each["drained"] for each in seen),
        "ejected": any(each["ejected"] for each in seen),
        **{name: sum(each[name] for each in seen) for name in ("in_flight", "limit", "max_in_flight")},
    }


def _held(answers: Sequence[Answer]) -> Answer:
    """Requests in quarantine in any process, each once, as long as the longest holds it."""
    found: dict[str, dict[str, Any]] = {}
    for each in _well(answers):
        for held in each["data"]:
            known = found.get(held["id"])
            if known is None or held["seconds_left"] > known["seconds_left"]:
                found[held["id"]] = held
    return Answer(OK, {"data": list(found.values())})


def _released(answers: Sequence[Answer]) -> Answer:
    found = _well(answers)
    return Answer(OK, {"released": max(each["released"] for each in found)}) if found else answers[0]


def _well(answers: Sequence[Answer]) -> list[Any]:
    """What those said that had something to say."""
    return [each.content for each in answers if each.status == OK]


PAGES = ("GET", "/admin/requests")
"""The one listing that has pages: see `pages`."""

MERGES: Mapping[tuple[str, str], Merge] = MappingProxyType(
    {
        ("GET", "/admin/requests/{request_id}"): _alike,
        ("GET", "/admin/replicas"): _replicas,
        ("GET", "/admin/replicas/{replica_id}"): _replica,
        ("POST", "/admin/replicas/{replica_id}/drain"): _replica,
        ("POST", "/admin/replicas/{replica_id}/undrain"): _replica,
        ("GET", "/admin/quarantine"): _held,
        ("DELETE", "/admin/quarantine"): _released,
        ("DELETE", "/admin/quarantine/{held_id}"): _released,
    }
)
"""Method and path → how the answers become one."""
