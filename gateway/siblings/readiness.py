"""Whether the service is ready: when all its processes are that live and take connections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from gateway.siblings.notes import STALE, Note


class Readiness(NamedTuple):
    """`reason` says why it is not ready; `None` when it is. `detail` is for operators."""

    reason: str | None
    detail: dict[str, Any]


def together(own: Note, others: Sequence[Note], seats: int, now: float) -> Readiness:
    """The worst of `own`, as it is now, and of what the others said last.

    One that leaves is no part of it, unless all do: another has its seat. Nor is one that takes no connection yet. A seat that is empty for the moment makes no service unready, since
    the others take its connections; it is in the detail.
    """
    parts = [each for each in (own, *others) if not (each.is_leaving or each.is_joining)] or [own]
    reasons = {each.seat: _reason(each, own, now) for each in parts}
    worst = next(
        (f"{why} (process {seat})" for seat, why in sorted(reasons.items()) if why is not None), None
    )
    details = [each.detail for each in parts]
    return Readiness(
        worst,
        {
            "models": _models([each.get("models", {}) for each in details]),
            "replicas": _replicas([each.get("replicas", []) for each in details]),
            "limits": own.detail.get("limits", {}),
            "processes": [
                _process(
                    seat, next((each for each in parts if each.seat == seat), None), reasons, own.pid, now
                )
                for seat in range(seats)
            ],
        },
    )


def _reason(note: Note, own: Note, now: float) -> str | None:
    if note is not own and now - note.at > STALE:
        return f"not heard of for {now - note.at:.0f} s"
    return note.reason


def _process(
    seat: int, note: Note | None, reasons: Mapping[int, str | None], asked: int, now: float
) -> dict[str, Any]:
    if note is None:
        return {"number": seat, "status": "starting", "reason": None, "pid": None, "age_seconds": None}
    age = 0.0 if note.pid == asked else round(now - note.at, 1)
    reason = reasons[seat]
    status = "ready" if reason is None else "not ready"
    return {"number": seat, "status": status, "reason": reason, "pid": note.pid, "age_seconds": age}


def _models(seen: Sequence[Mapping[str, Mapping[str, int]]]) -> dict[str, dict[str, int]]:
    """For each model as many replicas as the process says that has the fewest ready."""
    found: dict[str, dict[str, int]] = {}
    for models in seen:
        for model, counts in models.items():
            known = found.setdefault(model, dict(counts))
            if counts["ready"] < known["ready"]:
                found[model] = dict(counts)
    return found


def _replicas(seen: Sequence[Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for replicas in seen:
        for replica in replicas:
            known = found.get(replica["id"])
            if known is None:
                found[replica["id"]] = dict(replica)
                continue
            known["ejected"] = known["ejected"] or replica["ejected"]
            known["in_flight"] += replica["in_flight"]
            known["max_in_flight"] += replica["max_in_flight"]
    return list(found.values())
