"""Counts in this process: exact for one gateway, and begun anew when it starts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from gateway.ratelimit.account import Account, Rows, places_of
from gateway.ratelimit.base import Counters, Refused, Rule, Taken, Taker, Unit
from gateway.ratelimit.counts import Count, SlotCount, count_for

_FIRST_LOOK: Final = 256
_MOST_ACCOUNTS: Final = 1024


class MemoryCounters:
    """Exact counts. `clock` gives monotonic seconds for windows, `wall` Unix seconds for days and months."""

    def __init__(self, *, clock: Callable[[], float], wall: Callable[[], float]) -> None:
        self.clock: Final = clock
        self.wall: Final = wall
        self.epoch = 0
        """Changes when counts are dropped: whoever keeps some looks for them again."""
        self._counts: dict[str, Count] = {}
        self._accounts: dict[int, tuple[Sequence[Rule], Account]] = {}
        self._look_at = _FIRST_LOOK

    def __repr__(self) -> str:
        return f"<MemoryCounters {len(self._counts)} counts>"

    def __len__(self) -> int:
        return len(self._counts)

    def held(self) -> int:
        """Slots that are taken now, of all rules."""
        return sum(count.used for count in self._counts.values() if isinstance(count, SlotCount))

    def account(self, rules: Sequence[Rule]) -> Account:
        """The counts of `rules`, which take what each counts of a `Demand`."""
        return Account(self, rules, places_of(rules))

    def take(self, rules: Sequence[Rule], amounts: Sequence[int], taker: Taker) -> Taken | Refused:  # noqa: ARG002
        """Take all or nothing, at once."""
        account = self._in_order(rules)
        exceeded: tuple[Rule, ...] = ()
        rows = account.take(amounts)
        if rows is None:
            answer = account.take_within(amounts)
            if isinstance(answer, Refused):
                return answer
            rows, exceeded = answer.rows, tuple(rules[index] for index in answer.exceeded)
        return Taken(account.left(), partial(_settle, account, rows, rules, amounts), exceeded)

    def seed(self, rule: Rule, used: int) -> None:
        """Count at least `used`."""
        self.make_room()
        count = self._rolled(rule)
        if used > count.used:
            count.take(used - count.used)

    # --- for accounts

    def count(self, rule: Rule) -> Count:
        """The count of `rule`, begun where there is none."""
        count = self._counts.get(rule.key)
        if count is None:
            count = self._counts[rule.key] = count_for(rule)
        return count

    def add(self, rule: Rule, amount: int) -> None:
        """Count `amount` now, whatever the room."""
        self._rolled(rule).take(amount)

    def make_room(self) -> None:
        """Forget whom nothing is counted for, once there are many."""
        if len(self._counts) < self._look_at:
            return
        now, wall = self.clock(), self.wall()
        for key, count in tuple(self._counts.items()):
            count.roll(now, wall)
            if not count.used:
                del self._counts[key]
        self.epoch += 1
        self._look_at = max(_FIRST_LOOK, 2 * len(self._counts))

    def _rolled(self, rule: Rule) -> Count:
        count = self.count(rule)
        count.roll(self.clock(), self.wall())
        return count

    def _in_order(self, rules: Sequence[Rule]) -> Account:
        """The account of `rules` that takes amounts in their order."""
        found = self._accounts.get(id(rules))
        if found is not None and found[0] is rules:
            return found[1]
        if len(self._accounts) >= _MOST_ACCOUNTS:
            self._accounts.clear()
        account = Account(self, rules, range(len(rules)))
        self._accounts[id(rules)] = rules, account  # which keeps the rules, so that no others get this id
        return account


def _settle(
    account: Account, rows: Rows, rules: Sequence[Rule], taken: Sequence[int], used: Sequence[int]
) -> None:
    """Slots are given back whole."""
    account.settle(
        rows,
        taken,
        [0 if rule.unit is Unit.SLOTS else amount for rule, amount in zip(rules, used, strict=True)],
    )


_: type[Counters] = MemoryCounters
