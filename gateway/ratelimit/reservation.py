"""What a call holds of the limits, from before it is sent until it is over."""

from __future__ import annotations

from gateway.core.outcome import Usage
from gateway.ratelimit.base import Taken
from gateway.ratelimit.demand import NOTHING_USED, Demand, interrupted, used
from gateway.ratelimit.headers import Headers
from gateway.ratelimit.plan import Plan
from gateway.ratelimit.tally import Tally


class Reservation:
    """Taken of all rules of a plan. Its holder ends it in one of three ways; the first counts, more do nothing."""

    __slots__ = ("_amounts", "_left", "_plan", "_taken", "_tally", "_worst")

    def __init__(self, plan: Plan, worst: Demand, amounts: list[int], taken: Taken, tally: Tally) -> None:
        self._plan = plan
        self._worst = worst
        self._amounts = amounts
        self._left = taken.left
        self._taken: Taken | None = taken
        self._tally = tally

    def __repr__(self) -> str:
        return f"<Reservation {self._amounts} {'held' if self._taken else 'settled'}>"

    def release(self) -> None:
        """Give all of it back: no engine was asked."""
        self._settle(NOTHING_USED)

    def settle(self, usage: Usage) -> None:
        """Count what the engine says that the call used, and give the rest back."""
        self._settle(self._worst if self._plan.is_simple else used(usage, self._plan.prices))

    def interrupt(self, most_output: int | None) -> None:
        """Count a call whose engine worked and never said on how much.

        All of its prompt, and of its answer no more than `most_output` tokens, where that is known.
        """
        self._settle(interrupted(self._worst, most_output, self._plan.prices))

    def headers(self) -> Headers:
        """OpenAI's headers on limits: of the rule on requests, and the one on tokens, that has the least left."""
        found: Headers = []
        plan, left = self._plan, self._left
        for rules in (plan.requests, plan.tokens):
            if rules:
                at = rules[0] if len(rules) == 1 else min(rules, key=left.__getitem__)
                limit, remaining, reset = plan.shown[at]
                found += (limit, (remaining, b"%d" % max(0, left[at])), reset)
        return found

    def _settle(self, demand: Demand) -> None:
        taken, self._taken = self._taken, None
        if taken is None:
            return
        amounts = self._plan.amounts(demand)
        taken.settle(amounts)
        self._left = [
            left + before - after
            for left, before, after in zip(self._left, self._amounts, amounts, strict=True)
        ]
        self._tally.settle(self._worst, demand)
