"""The pages of the calls of all processes: newest first, nothing shown twice or passed over, whichever process is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

_END = "end"


class Part(NamedTuple):
    """A process's page: its stories, newest first, the place of each, and where it goes on."""

    stories: Sequence[Mapping[str, Any]]
    places: Sequence[int]
    next: str | None


def ended(story: Mapping[str, Any]) -> float:
    """When a call was over, in Unix seconds."""
    return float(story["at"]) + float(story["duration_ms"]) / 1e3


def page_of(parts: Mapping[str, Part], limit: int) -> tuple[list[Mapping[str, Any]], str | None]:
    """The newest stories of all processes, and the cursor behind them; `None` when there are no more."""
    found = sorted(
        (
            (ended(story), name, index)
            for name, part in parts.items()
            for index, story in enumerate(part.stories)
        ),
        key=lambda each: (-each[0], each[1], each[2]),
    )[:limit]
    taken = dict.fromkeys(parts, 0)
    for _, name, _ in found:  # a process's own are in its order: those that were taken are its first ones
        taken[name] += 1
    going_on = {name: _behind(part, taken[name]) for name, part in parts.items()}
    stories = [parts[name].stories[index] for _, name, index in found]
    return stories, None if set(going_on.values()) <= {_END} else _joined(going_on)


def _behind(part: Part, taken: int) -> str:
    if taken == len(part.stories):
        return part.next or _END
    return str(part.places[taken] + 1)  # before the place behind it: that one comes next


def _joined(cursors: Mapping[str, str]) -> str:
    return "_".join(f"{name}.{cursor}" for name, cursor in sorted(cursors.items()))


def parted(cursor: str) -> dict[str, str]:
    """Process → where its page goes on, without those that are at their end. Raises `ValueError` for what is none."""
    found = {}
    for each in cursor.split("_"):
        name, dot, place = each.partition(".")
        if not dot or not name or not (place == _END or (place.isascii() and place.isdigit())):
            raise ValueError(f"not a cursor: {cursor!r}")
        if place != _END:
            found[name] = place
    return found
