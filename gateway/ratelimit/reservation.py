"""What a call holds of the limits, from before it is sent until it is over."""

from __future__ import annotations

from typing import Final

from gateway.core.outcome import Usage
from gateway.ratelimit.account import Account, Rows
from gateway.ratelimit.base import Taken
from gateway.ratelimit.demand import NOTHING_USED, ONE_OVER, Demand, interrupted
from gateway.ratelimit.demand import used as used_by
from gateway.ratelimit.headers import Headers
from gateway.ratelimit.plan import Plan
from gateway.ratelimit.tally import Tally


class Reservation:
    """Taken of all rules of a plan. Its holder ends it in one of three ways; the first counts, more do nothing."""

    __slots__ = ("_account", "_is_held", "_plan", "_rows", "_tally", "_worst")

    def __init__(
        self, plan: Plan, worst: Demand, tally: Tally, account: Account | Elsewhere, rows: Rows
    ) -> None:
        """`rows` is what was taken of `account`."""
        self._plan: Final = plan
        self._worst: Final = worst
        self._tally: Final = tally
        self._account: Final = account
        self._rows: Final = rows
        self._is_held = True

    def __repr__(self) -> str:
        return f"<Reservation {self._worst} {'held' if self._is_held else 'settled'}>"

    def release(self) -> None:
        """Give all of it back: no engine was asked."""
        self._end(NOTHING_USED)

    def settle(self, usage: Usage) -> None:
        """Count what the engine says that the call used, and give the rest back."""
        plan = self._plan
        self._end(ONE_OVER if plan.is_simple else used_by(usage, plan.prices))

    def interrupt(self, most_output: int | None) -> None:
        """Count a call whose engine worked and never said on how much.

        All of its prompt, and of its answer no more than `most_output` tokens, where that is known.
        """
        self._end(interrupted(self._worst, most_output, self._plan.prices))

    def headers(self) -> Headers:
        """OpenAI's headers on limits: of the rule on requests, and the one on tokens, that has the least left."""
        found: Headers = []
        account = self._account
        for rules in self._plan.shown:
            at, names = rules[0]
            least = account.remaining(at)
            for at, others in rules[1:]:
                left = account.remaining(at)
                if left < least:
                    least, names = left, others
            limit, remaining, reset = names
            found += (limit, (remaining, b"%d" % (max(0, least))), reset)
        return found

    def _end(self, used: Demand) -> None:
        if not self._is_held:
            return
        self._is_held = False
        self._account.settle(self._rows, self._worst, used)
        if not self._plan.is_simple:
            self._tally.settle(self._worst, used)


class Elsewhere:
    """What one call took of counts that were asked for it. What is left is as they said then, less what it used."""

    __slots__ = ("_left", "_plan", "_taken")

    def __init__(self, plan: Plan, taken: Taken) -> None:
        self._plan: Final = plan
        self._taken: Final = taken
        self._left = taken.left

    def settle(self, _: Rows, taken: Demand, used: Demand) -> None:
        """See `Account.settle`."""
        before, after = self._plan.amounts(taken), self._plan.amounts(used)
        self._taken.settle(after)
        self._left = [left + was - now for left, was, now in zip(self._left, before, after, strict=True)]

    def remaining(self, at: int) -> int:
        """See `Account.remaining`."""
        return self._left[at]
