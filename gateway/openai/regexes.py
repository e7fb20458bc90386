"""Regular expressions that an engine is to compile: short, balanced, and none that grows out of hand.

Only what multiplies is looked for, so this knows no more of the syntax than groups, sets, escapes and repeats. Two
things multiply: repeats with bounds, one inside the other (`(a{1000}){1000}` has a million states), and a repeat
without bound around nothing but repeats without bound (`(a+)+` matches in as many ways as there are splittings). A
repeat around something that must stand there each time, `(a+,)+`, is everyday and passes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from gateway.core.errors import InvalidRequest
from gateway.openai.complaints import invalid, too_many

LONGEST = 1024
"""Characters. What a model is to match is an address, a number, a date."""
MOST_STATES = 10_000
"""Of all atoms, their repeats multiplied out."""
DEEPEST = 32
"""Groups inside groups."""

_TOKEN = re.compile(
    r"(?P<look>\(\?<?[=!])|(?P<open>\((?:\?(?:P?<\w+>|[a-zA-Z-]*:|>))?)|(?P<close>\))|(?P<bar>\|)"
    r"|(?P<repeat>(?:[*+?]|\{(?:\d{1,9},?|\d{0,9},\d{1,9})\})[?+]?)|(?P<nothing>[\^$]|\\[bBAZz])"
    r"|(?P<atom>\[\^?\]?(?:\\.|[^\]\\])*\]|\\.|.)",
    re.DOTALL,
)
_BOUNDS = re.compile(r"\{(?P<least>\d*)(?P<comma>,?)(?P<most>\d*)\}")


@dataclass(frozen=True, slots=True)
class _Item:
    """What an atom, a group or a repeat is to what stands around it."""

    states: int = 0
    is_endless: bool = False  # holds a repeat without bound
    is_fixed: bool = False  # something of it must stand there, a bounded number of times
    is_loose: bool = False  # may be nothing but repeats without bound


@dataclass(slots=True)
class _Group:
    """A group that is being read: its whole alternatives, and the items of the one that is not over."""

    is_look: bool
    alternatives: list[_Item] = field(default_factory=list)
    items: list[_Item] = field(default_factory=list)

    def end_alternative(self) -> None:
        endless = any(item.is_endless for item in self.items)
        fixed = any(item.is_fixed for item in self.items)
        states = sum(item.states for item in self.items)
        self.alternatives.append(_Item(states, endless, fixed, endless and not fixed))
        self.items = []

    def end(self) -> _Item:
        self.end_alternative()
        return _Item(
            sum(each.states for each in self.alternatives),
            any(each.is_endless for each in self.alternatives),
            not self.is_look and all(each.is_fixed for each in self.alternatives),
            any(each.is_loose for each in self.alternatives),
        )


def check_regex(pattern: str, place: str) -> None:
    """Judge `pattern`, which stands at `place`. Raises `InvalidRequest`."""
    if len(pattern) > LONGEST:
        raise too_many(place, len(pattern), LONGEST, "characters")
    groups = [_Group(is_look=False)]
    for token in _TOKEN.finditer(pattern):
        kind = token.lastgroup
        if kind in {"open", "look"}:
            if len(groups) > DEEPEST:
                raise invalid(place, f"groups are nested more than {DEEPEST} deep")
            groups.append(_Group(is_look=kind == "look"))
        elif kind == "close":
            if len(groups) == 1:
                raise _unbalanced(place)
            item = groups.pop().end()
            groups[-1].items.append(item)
        elif kind == "bar":
            groups[-1].end_alternative()
        elif kind == "repeat":
            _repeat(groups[-1], token[0], place)
        else:
            groups[-1].items.append(_Item(1, is_fixed=kind == "atom"))
    if len(groups) > 1:
        raise _unbalanced(place)
    _check_states(groups[0].end(), place)


def _repeat(group: _Group, written: str, place: str) -> None:
    if not group.items:
        raise invalid(place, f"there is nothing for {written!r} to repeat")
    item = group.items.pop()
    least, most = _bounds(written)
    if most is None and item.is_loose:
        raise invalid(place, "a repeat without bound stands inside another, as in (a+)+")
    states = item.states * max(least, most or 0, 1)
    if most is None:
        repeated = _Item(states, is_endless=True, is_loose=True)
    else:
        fixed = item.is_fixed and least > 0
        repeated = _Item(states, item.is_endless, fixed, item.is_endless and not fixed)
    _check_states(repeated, place)
    group.items.append(repeated)


def _bounds(written: str) -> tuple[int, int | None]:
    """The least and the most number of times; `None`: no bound."""
    found = _BOUNDS.match(written)
    if found is None:
        return {"*": (0, None), "+": (1, None), "?": (0, 1)}[written[0]]
    least = int(found["least"] or 0)
    if not found["comma"]:
        return least, least
    return least, int(found["most"]) if found["most"] else None


def _check_states(item: _Item, place: str) -> None:
    if item.states > MOST_STATES:
        raise invalid(place, f"with its repeats multiplied out it has more than {MOST_STATES} states")


def _unbalanced(place: str) -> InvalidRequest:
    return invalid(place, "its parentheses are not balanced")
