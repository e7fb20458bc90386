"""What the server has still to be told: amounts given back, used beside what was taken, and slots."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from gateway.ratelimit.shared.count import Count
from gateway.ratelimit.shared.plan import word
from gateway.ratelimit.shared.resp import Reply

AT_ONCE: Final = 100
"""Amounts in one command."""
MOST: Final = 20_000
"""More are not kept while there is no server; what would only have been given back is forgotten first."""

PRESENT: Final = -1
"""The bucket of now."""


class Item(NamedTuple):
    """Where an amount belongs."""

    name: bytes
    what: str
    """What to do with it: the first word of `give.lua`'s four."""
    period_ms: int
    bucket: int

    @property
    def is_of_slots(self) -> bool:
        """Whether it is settled by telling how many are held."""
        return self.what in "she"


class Due:
    """Amounts by where they belong, added up."""

    def __init__(self) -> None:
        self._amounts: dict[Item, int] = {}

    def __bool__(self) -> bool:
        return bool(self._amounts)

    def owe(self, count: Count, bucket: int, amount: int, what: str | None = None) -> None:
        """Add `amount`; less than 0 gives back."""
        self.add(Item(count.name, what or count.kind, count.period_ms, bucket), amount)

    def add(self, item: Item, amount: int) -> None:
        """The same, for an item that there was before."""
        if len(self._amounts) >= MOST and item not in self._amounts and amount < 0:
            return
        self._amounts[item] = self._amounts.get(item, 0) + amount

    def drop_old(self, wall: float) -> None:
        """Forget what windows have forgotten at `wall`, in Unix seconds: an outage may be long."""
        for item in tuple(self._amounts):
            width = -(-item.period_ms // 60)
            if (
                item.what == "w"
                and item.bucket != PRESENT
                and (item.bucket + 2) * width + item.period_ms < wall * 1000
            ):
                del self._amounts[item]

    def replace(self, count: Count, bucket: int, amount: int, what: str) -> None:
        """Tell `amount` as it is now, in place of what was to be told before."""
        self._amounts[Item(count.name, what, count.period_ms, bucket)] = amount

    def join(self, other: Due) -> None:
        """Add what is due elsewhere, but of slots: what is held was told as a whole."""
        for item, amount in other._amounts.items():
            if not item.is_of_slots:
                self.add(item, amount)

    def tails(self, foot: bytes) -> Iterator[tuple[bytes, int, Told]]:
        """All of it as the rest of commands, with their numbers of words; nothing is due after it."""
        items = list(self._amounts.items())
        self._amounts = {}
        for at in range(0, len(items), AT_ONCE):
            part = items[at : at + AT_ONCE]
            keys = b"".join(word(item.name) for item, _ in part)
            spec = " ".join(f"{item.what} {item.period_ms} {item.bucket} {amount}" for item, amount in part)
            yield (
                word(b"%d" % len(part)) + keys + word(spec.encode()) + foot,
                len(part) + 4,
                Told(part, self.add),
            )


class Told:
    """One command on its way. What was used is told again if it is lost: counted twice is better than never."""

    __slots__ = ("_again", "_items")

    def __init__(self, items: list[tuple[Item, int]], again: Callable[[Item, int], None]) -> None:
        self._items = items
        self._again = again

    def answered(self, reply: Reply) -> None:
        """It is done."""

    def lost(self) -> None:
        """Keep what must not be forgotten."""
        for item, amount in self._items:
            if amount > 0 and not item.is_of_slots:
                self._again(item, amount)
