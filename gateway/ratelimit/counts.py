"""The count of one rule: of a moving window, of a day or month, or of calls that run now.

A moving window is cut into slots of time. What was taken in one slot leaves the count together, and only once the whole
slot is older than the period: the count is that of the last period and of up to one slot more. So no window of the
period holds more than the limit wherever it begins, for a memory that does not grow with the limit. A bucket that
refills would let twice its size through in one period, and a count that begins anew each minute twice the limit around
the turn of the minute.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import TypeAlias

from gateway.ratelimit.base import Calendar, Rule, Unit
from gateway.ratelimit.calendar import stretch_of

SLOTS_OF_A_WINDOW = 60
"""A window counts up to one slot more than its period: a sixtieth."""
_ROUNDING = 1e-3
"""Added to waits, in seconds: a moment that rounding puts before the end of a slot would be too early."""
SLOT_WAIT = 1.0
"""When to ask again for a slot: nobody knows when a call ends."""

Clock: TypeAlias = Callable[[], float]


class Cell:
    """What was taken in one slot of time, or in one stretch of the calendar."""

    __slots__ = ("amount", "index")

    def __init__(self, index: float) -> None:
        self.index = index
        self.amount = 0


class WindowCount:
    """What was taken in the last `period` seconds."""

    __slots__ = ("_cells", "_clock", "_index", "_width", "used")

    def __init__(self, period: float, clock: Clock) -> None:
        width = period / SLOTS_OF_A_WINDOW
        while width * SLOTS_OF_A_WINDOW < period:  # rounded down, a window could touch one slot more
            width = math.nextafter(width, math.inf)
        self._width = width
        self._clock = clock
        self._cells: deque[Cell] = deque()
        self._index = -math.inf
        self.used = 0

    @property
    def is_idle(self) -> bool:
        """Whether nothing is left to remember, as of the last `roll`."""
        return not self._cells

    def roll(self) -> None:
        """Forget what is too old. Before anything is read or counted."""
        index = self._clock() // self._width
        if index != self._index:
            self._index = index
            cells, oldest = self._cells, index - SLOTS_OF_A_WINDOW
            while cells and cells[0].index < oldest:
                self.used -= cells.popleft().amount

    def take(self, amount: int) -> Cell:
        """Count `amount`."""
        cells = self._cells
        if not cells or cells[-1].index != self._index:
            cells.append(Cell(self._index))
        cell = cells[-1]
        cell.amount += amount
        self.used += amount
        return cell

    def settle(self, cell: Cell, taken: int, used: int) -> None:
        """Of what was `taken` into `cell`, only `used` was: or more, which counts from now."""
        self.roll()
        if used > taken:
            self.take(used - taken)
        elif cell.index >= self._index - SLOTS_OF_A_WINDOW:
            cell.amount -= taken - used
            self.used -= taken - used

    def wait(self, excess: int) -> float:
        """Seconds until `excess` of what is counted is forgotten."""
        for cell in self._cells:
            excess -= cell.amount
            if excess <= 0:
                until = (cell.index + SLOTS_OF_A_WINDOW + 1) * self._width
                return max(0.0, until - self._clock()) + _ROUNDING
        return (SLOTS_OF_A_WINDOW + 1) * self._width  # a limit that was lowered below the amount asked for


class CalendarCount:
    """What was taken in this day or month. `wall` gives Unix seconds."""

    __slots__ = ("_cell", "_ends", "_kind", "_wall")

    def __init__(self, kind: Calendar, wall: Clock) -> None:
        self._kind = kind
        self._wall = wall
        self._ends = -math.inf
        self._cell = Cell(0.0)
        self.roll()

    @property
    def used(self) -> int:
        """What is counted."""
        return self._cell.amount

    @property
    def is_idle(self) -> bool:
        """Whether nothing is left to remember, as of the last `roll`."""
        return not self._cell.amount

    def roll(self) -> None:
        """Begin anew where a new stretch has begun. A clock that is set back does not bring the last one back."""
        now = self._wall()
        if now >= self._ends:
            self._ends = stretch_of(self._kind, now).ends
            self._cell = Cell(self._ends)

    def take(self, amount: int) -> Cell:
        """Count `amount`."""
        self._cell.amount += amount
        return self._cell

    def settle(self, cell: Cell, taken: int, used: int) -> None:
        """Of what was `taken` into `cell`, only `used` was: or more, which counts from now."""
        self.roll()
        (cell if used < taken else self._cell).amount += used - taken

    def wait(self, excess: int) -> float:  # noqa: ARG002 - all of it is forgotten at once
        """Seconds until the next stretch."""
        return max(0.0, self._ends - self._wall()) + _ROUNDING


class SlotCount:
    """Calls that run or wait now."""

    __slots__ = ("_cell",)

    def __init__(self) -> None:
        self._cell = Cell(0.0)

    @property
    def used(self) -> int:
        """What is counted."""
        return self._cell.amount

    @property
    def is_idle(self) -> bool:
        """Whether nothing is held."""
        return not self._cell.amount

    def roll(self) -> None:
        """Slots do not come back with time."""

    def take(self, amount: int) -> Cell:
        """Count `amount`."""
        self._cell.amount += amount
        return self._cell

    def settle(self, cell: Cell, taken: int, used: int) -> None:  # noqa: ARG002 - given back whole
        """Give back what was taken."""
        cell.amount -= taken

    def wait(self, excess: int) -> float:  # noqa: ARG002 - whatever it is
        """A guess."""
        return SLOT_WAIT


Count: TypeAlias = WindowCount | CalendarCount | SlotCount


def count_for(rule: Rule, clock: Clock, wall: Clock) -> Count:
    """An empty count of what `rule` counts."""
    if rule.unit is Unit.SLOTS or rule.period is None:
        return SlotCount()
    if isinstance(rule.period, Calendar):
        return CalendarCount(rule.period, wall)
    return WindowCount(rule.period, clock)
