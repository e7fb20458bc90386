"""One taking, from the question to the server to its settling.

It knows what was taken where, and tells its owner what of that is free again, or was used besides.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from gateway.ratelimit.base import Refused, Rule, Taken, Taker, Unavailable
from gateway.ratelimit.shared.count import Count
from gateway.ratelimit.shared.due import PRESENT
from gateway.ratelimit.shared.plan import Plan
from gateway.ratelimit.shared.resp import Reply

_SHADOWED: Final = -1

Where = int | tuple[int, int, int] | None
"""The bucket in which an amount is counted; where it is two: the newer, the older, and how much is in the older; `None`
where nothing was counted."""


class Owner(Protocol):
    """The counts that takings are of."""

    def owe(self, count: Count, bucket: int, amount: int) -> None:
        """So much more was used in `bucket`; less than 0 gives back."""
        ...

    def release(self, count: Count, amount: int) -> None:
        """Slots are free again, and may be kept as stock."""
        ...

    def give_slots(self, count: Count, amount: int) -> None:
        """Slots were not needed: nothing of them is kept."""
        ...

    def stock_up(self, count: Count, granted: int, bucket: int, limit: int, until: float) -> None:
        """The server gave this beside what was asked for."""
        ...

    def take_alone(self, plan: Plan, amounts: Sequence[int]) -> Taken | Refused | Unavailable:
        """Decide without the server."""
        ...


class Hold:
    """What one call took, until it is settled."""

    __slots__ = ("_amounts", "_owner", "_plan", "_where")

    def __init__(self, owner: Owner, plan: Plan, amounts: Sequence[int], where: Sequence[Where]) -> None:
        self._owner = owner
        self._plan = plan
        self._amounts = amounts
        self._where = where

    def settle(self, used: Sequence[int]) -> None:
        """Give back the rest, count what is more."""
        for index, count in enumerate(self._plan.counts):
            where, taken = self._where[index], self._amounts[index]
            if where is None:
                continue
            if count.kind == "s":
                self._owner.release(count, taken)
            elif used[index] > taken:
                self._owner.owe(count, PRESENT, used[index] - taken)
            elif used[index] < taken:
                self._give(count, where, taken, taken - used[index])

    def _give(self, count: Count, where: int | tuple[int, int, int], taken: int, rest: int) -> None:
        if isinstance(where, int):
            self._owner.owe(count, where, -rest)
            return
        newer, older, in_older = where
        first = min(rest, taken - in_older)
        if first:
            self._owner.owe(count, newer, -first)
        if rest > first:
            self._owner.owe(count, older, first - rest)


class Asking:
    """One taking that the server was asked for."""

    __slots__ = ("_amounts", "_is_cancelled", "_owner", "_plan", "_sent", "_taker", "own")

    def __init__(self, owner: Owner, plan: Plan, amounts: Sequence[int], taker: Taker, sent: float) -> None:
        self._owner = owner
        self._plan = plan
        self._amounts = amounts
        self._taker = taker
        self._sent = sent
        self._is_cancelled = False
        self.own: list[tuple[int, int]] = []
        """Bucket and amount that came out of stock, for each rule."""

    def cancel(self) -> None:
        """Tell nobody."""
        self._is_cancelled = True

    def answered(self, reply: Reply) -> None:
        """The server decided."""
        numbers = _numbers(reply, len(self.own))
        if numbers is None:
            self.lost()
            return
        if numbers[0]:
            self._taken(numbers)
            return
        self.put_back()
        if not self._is_cancelled:
            self._taker.refused(Refused(self._plan.rules[numbers[1]], numbers[2] / 1000))

    def lost(self) -> None:
        """Decide without it. What it counted for this, if it did, stays counted."""
        self.put_back()
        if self._is_cancelled:
            return
        answer = self._owner.take_alone(self._plan, self._amounts)
        if isinstance(answer, Taken):
            self._taker.taken(answer)
        else:
            self._taker.refused(answer)

    def put_back(self) -> None:
        """Nothing was taken: what came out of stock goes back."""
        for count, (bucket, own) in zip(self._plan.counts, self.own, strict=True):
            if own:
                self._give_back(count, bucket, own)

    def _give_back(self, count: Count, bucket: int, own: int) -> None:
        owner = self._owner
        if count.kind == "s":
            owner.give_slots(count, own)
        else:
            owner.owe(count, bucket, -own)

    def _taken(self, numbers: list[int]) -> None:
        left: list[int] = []
        where: list[Where] = []
        exceeded: list[Rule] = []
        owner, plan = self._owner, self._plan
        for index, count in enumerate(plan.counts):
            remaining, bucket, granted = numbers[3 * index + 1 : 3 * index + 4]
            old_bucket, own = self.own[index]
            if bucket == _SHADOWED:
                if own:
                    self._give_back(count, old_bucket, own)
                exceeded.append(plan.rules[index])
                where.append(None)
                left.append(remaining + count.stock)
                continue
            amount = self._amounts[index]
            count.left = remaining + count.stock
            count.left_at = self._sent
            left.append(count.left)
            if count.kind in "dm":
                count.used = bucket, plan.limits[index] - remaining
            elif count.kind == "s":
                count.held += amount - own + granted
            if granted:
                owner.stock_up(count, granted, bucket, plan.limits[index], self._sent + count.stock_s)
            where.append(bucket if not own else old_bucket if own == amount else (bucket, old_bucket, own))
        hold = Hold(owner, plan, self._amounts, where)
        if self._is_cancelled:
            hold.settle([0] * len(left))
        else:
            self._taker.taken(Taken(left, hold.settle, exceeded))


def _numbers(reply: Reply, rules: int) -> list[int] | None:
    """What `take.lua` answers under so many rules; `None` for what it never does."""
    try:
        numbers = [int(number) for number in reply.split()] if isinstance(reply, bytes) else []
    except ValueError:
        return None
    if len(numbers) == 3 * rules + 1 and numbers[0] == 1:
        return numbers
    is_refusal = len(numbers) == 3 and numbers[0] == 0 and 0 <= numbers[1] < rules  # noqa: PLR2004 - a refusal has three
    return numbers if is_refusal else None
