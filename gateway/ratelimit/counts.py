"""The count of one rule: of a moving window, of a day or month, or of calls that run now.

A moving window is cut into slots of time. What was taken in one slot leaves the count together, and only once the whole
slot is older than the period: the count is that of the last period and of up to one slot more. So no window of the
period holds more than the limit wherever it begins, for a memory that does not grow with the limit. A bucket that
refills would let twice its size through in one period, and a count that begins anew each minute twice the limit around
the turn of the minute.

Counts are told the time, `now` in monotonic seconds and `wall` in Unix seconds: one look at the clocks is enough for all
counts that a call is under.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Final, TypeAlias

from gateway.ratelimit.base import Calendar, Rule, Unit
from gateway.ratelimit.calendar import stretch_of

SLOTS_OF_A_WINDOW: Final = 60
"""A window counts up to one slot more than its period: a sixtieth."""
_ROUNDING: Final = 1e-3
"""Added to waits, in seconds: a moment that rounding puts before the end of a slot would be too early."""
_EARLY: Final = 1 - 1e-12
"""A slot is looked at a little before its end: a moment that rounding puts before the next slot may be of it."""
SLOT_WAIT: Final = 1.0
"""When to ask again for a slot: nobody knows when a call ends."""

Clock: TypeAlias = Callable[[], float]


class Cell:
    """What was taken in one slot of time, or in one stretch of the calendar."""

    __slots__ = ("amount", "index", "is_counted")

    def __init__(self, index: float) -> None:
        self.index = index
        self.amount = 0
        self.is_counted = True
        """Whether it is still part of what its count has used."""


class Count:
    """What was taken of one rule. Whoever takes or reads has it `roll` first, as often as that says."""

    __slots__ = ("cell", "rule", "used")

    def __init__(self, rule: Rule) -> None:
        self.rule: Final = rule
        """For which it was begun. Others may share it, with other limits."""
        self.used = 0
        self.cell = Cell(-math.inf)
        """Where that is counted which is taken now."""

    def roll(self, now: float, wall: float) -> float:  # noqa: ARG002 - for those that forget
        """Forget what is too old. When to do so again, by the clock that this count goes by."""
        return math.inf

    def take(self, amount: int) -> Cell:
        """Count `amount`."""
        self.cell.amount += amount
        self.used += amount
        return self.cell

    def settle(self, cell: Cell, taken: int, used: int) -> None:
        """Of what was `taken` into `cell`, only `used` was: or more, which counts from now."""
        if used > taken:
            self.take(used - taken)
            return
        cell.amount -= taken - used
        if cell.is_counted:
            self.used -= taken - used

    def wait(self, excess: int, now: float, wall: float) -> float:  # noqa: ARG002 - whatever they are
        """Seconds until `excess` of what is counted is forgotten."""
        return SLOT_WAIT


class SlotCount(Count):
    """Calls that run or wait now. They do not come back with time, and when is a guess."""

    __slots__ = ()


class WindowCount(Count):
    """What was taken in the last `period` seconds. Goes by the monotonic clock."""

    __slots__ = ("_cells", "_width")

    def __init__(self, rule: Rule, period: float) -> None:
        super().__init__(rule)
        width = period / SLOTS_OF_A_WINDOW
        while width * SLOTS_OF_A_WINDOW < period:  # rounded down, a window could touch one slot more
            width = math.nextafter(width, math.inf)
        self._width = width
        self._cells: deque[Cell] = deque()

    def roll(self, now: float, wall: float) -> float:  # noqa: ARG002 - goes by the other clock
        """See `Count.roll`."""
        index = now // self._width
        if index != self.cell.index:
            cells, oldest = self._cells, index - SLOTS_OF_A_WINDOW
            while cells and cells[0].index < oldest:
                cell = cells.popleft()
                cell.is_counted = False
                self.used -= cell.amount
            self.cell = Cell(index)
            cells.append(self.cell)
        return (index + 1) * self._width * _EARLY

    def wait(self, excess: int, now: float, wall: float) -> float:  # noqa: ARG002 - goes by the other clock
        """See `Count.wait`."""
        for cell in self._cells:
            excess -= cell.amount
            if excess <= 0:
                until = (cell.index + SLOTS_OF_A_WINDOW + 1) * self._width
                return max(0.0, until - now) + _ROUNDING
        return (SLOTS_OF_A_WINDOW + 1) * self._width  # a limit that was lowered below the amount asked for


class CalendarCount(Count):
    """What was taken in this day or month. Goes by the wall clock."""

    __slots__ = ("_ends", "_kind")

    def __init__(self, rule: Rule, kind: Calendar) -> None:
        super().__init__(rule)
        self._kind: Final = kind
        self._ends = -math.inf

    def roll(self, now: float, wall: float) -> float:  # noqa: ARG002 - goes by the other clock
        """Begin anew where a new stretch has begun. A clock that is set back does not bring the last one back."""
        if wall >= self._ends:
            self._ends = stretch_of(self._kind, wall).ends
            self.cell.is_counted = False
            self.cell = Cell(self._ends)
            self.used = 0
        return self._ends

    def wait(self, excess: int, now: float, wall: float) -> float:  # noqa: ARG002 - all is forgotten at once
        """See `Count.wait`."""
        return max(0.0, self._ends - wall) + _ROUNDING


def count_for(rule: Rule) -> Count:
    """An empty count of what `rule` counts."""
    if rule.unit is Unit.SLOTS or rule.period is None:
        return SlotCount(rule)
    if isinstance(rule.period, Calendar):
        return CalendarCount(rule, rule.period)
    return WindowCount(rule, rule.period)
