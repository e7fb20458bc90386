"""The counts of a set of rules, side by side: what a call takes of all of them, and what it gives back.

A call takes amounts by their place, as `Demand` has them: each rule knows which of them it counts. So one look at the
clock, one comparison and two additions a rule are all that a taking is; nothing is looked up, and nothing is made.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from gateway.ratelimit.base import Calendar, Refused, Rule, Unit
from gateway.ratelimit.counts import Cell, Count

if TYPE_CHECKING:
    from gateway.ratelimit.memory import MemoryCounters

Row: TypeAlias = tuple[Count, Cell, int, int]
"""A count, where in it that goes which is taken now, the limit, and the place of the amount."""
Rows: TypeAlias = tuple[Row, ...]


class Within(NamedTuple):
    """What was taken where rules in shadow had no room."""

    rows: Rows
    """Those of which it was taken."""
    exceeded: Sequence[int]
    """The rules that would have refused, by their place. Nothing was counted for them."""


class Account:
    """Made by `MemoryCounters.account`. Amounts are not negative."""

    __slots__ = (
        "_clock",
        "_counts",
        "_epoch",
        "_fresh_until",
        "_has_calendar",
        "_owner",
        "_places",
        "_rows",
        "_rules",
        "_wall",
        "_wall_until",
    )

    def __init__(self, owner: MemoryCounters, rules: Sequence[Rule], places: Sequence[int]) -> None:
        self._owner: Final = owner
        self._clock: Final = owner.clock
        self._wall: Final = owner.wall
        self._rules: Final = tuple(rules)
        self._places: Final = tuple(places)
        self._has_calendar: Final = any(isinstance(rule.period, Calendar) for rule in rules)
        self._counts: tuple[Count, ...] = ()
        self._rows: Rows = ()
        self._epoch = -1
        self._fresh_until = -math.inf
        self._wall_until = -math.inf

    def take(self, amounts: Sequence[int]) -> Rows | None:
        """Take of all rules, at once. `None`, and nothing taken, where one has no room: `take_within` says which."""
        if (
            self._clock() >= self._fresh_until
            or self._epoch != self._owner.epoch
            or (self._has_calendar and self._wall() >= self._wall_until)
        ):
            self.refresh()
        rows = self._rows
        for count, _, limit, place in rows:
            if count.used + amounts[place] > limit:
                return None
        for count, cell, _, place in rows:
            amount = amounts[place]
            count.used += amount
            cell.amount += amount
        return rows

    def take_within(self, amounts: Sequence[int]) -> Within | Refused:
        """Take of all rules but those in shadow that have no room; of none if any other has none."""
        self.refresh()
        refused: list[int] = []
        exceeded: list[int] = []
        for index, (count, _, limit, place) in enumerate(self._rows):
            if count.used + amounts[place] > limit:
                (exceeded if self._rules[index].shadow else refused).append(index)
        if refused:
            return self._refusal(amounts, refused)
        rows = tuple(row for index, row in enumerate(self._rows) if index not in exceeded)
        for count, _, _, place in rows:
            count.take(amounts[place])
        return Within(rows, exceeded)

    def settle(self, rows: Rows, taken: Sequence[int], used: Sequence[int]) -> None:
        """Of what was `taken` into `rows`, only so much was `used`; what is more counts from now.

        What was taken in a time that is over stays there.
        """
        for count, cell, _, place in rows:
            rest = taken[place] - used[place]
            if rest > 0:
                cell.amount -= rest
                if cell.is_counted:
                    count.used -= rest
            elif rest < 0:
                self._owner.add(count.rule, -rest)

    def left(self) -> list[int]:
        """What each rule has left."""
        return [limit - count.used for count, _, limit, _ in self._rows]

    def remaining(self, at: int) -> int:
        """What one rule has left, by its place among the rules: less than nothing where the limit was lowered."""
        count, _, limit, _ = self._rows[at]
        return limit - count.used

    def refresh(self) -> None:
        """Forget what is too old, and find counts that were begun anew."""
        owner = self._owner
        now, wall = self._clock(), self._wall() if self._has_calendar else 0.0
        if self._epoch != owner.epoch:
            owner.make_room()  # first: what is found then stays
            self._counts = tuple(owner.count(rule) for rule in self._rules)
            self._epoch = owner.epoch
        fresh_until = wall_until = math.inf
        for rule, count in zip(self._rules, self._counts, strict=True):
            until = count.roll(now, wall)
            if isinstance(rule.period, Calendar):
                wall_until = min(wall_until, until)
            else:
                fresh_until = min(fresh_until, until)
        self._fresh_until, self._wall_until = fresh_until, wall_until
        self._rows = tuple(
            (count, count.cell, rule.limit, place)
            for count, rule, place in zip(self._counts, self._rules, self._places, strict=True)
        )

    def _refusal(self, amounts: Sequence[int], refused: Sequence[int]) -> Refused:
        """The rule that makes the caller wait longest: after it, all have room."""
        now, wall = self._clock(), self._wall()
        after, index = -1.0, 0
        for each in refused:
            count, _, limit, place = self._rows[each]
            wait = count.wait(count.used + amounts[place] - limit, now, wall)
            if wait >= after:
                after, index = wait, each
        return Refused(self._rules[index], after)


def places_of(rules: Sequence[Rule]) -> tuple[int, ...]:
    """The place of what each rule counts in a `Demand`."""
    return tuple(_ORDER.index(rule.unit) for rule in rules)


_ORDER: Final = tuple(Unit)
