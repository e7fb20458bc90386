"""What a call holds of the limits, from before it is sent until it is over."""

from __future__ import annotations

from typing import TypeAlias

from gateway.core.outcome import Usage
from gateway.ratelimit.base import Rule, Taken
from gateway.ratelimit.demand import NOTHING_USED, Demand, interrupted, used
from gateway.ratelimit.plan import Plan
from gateway.ratelimit.tally import Tally

Headers: TypeAlias = list[tuple[bytes, bytes]]
_NAMES = {
    kind: tuple(b"x-ratelimit-%b-%b" % (part, kind) for part in (b"limit", b"remaining", b"reset"))
    for kind in (b"requests", b"tokens")
}


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
        self._settle(used(usage, self._plan.prices))

    def interrupt(self, most_output: int | None) -> None:
        """Count a call whose engine worked and never said on how much.

        All of its prompt, and of its answer no more than `most_output` tokens, where that is known.
        """
        self._settle(interrupted(self._worst, most_output, self._plan.prices))

    def headers(self) -> Headers:
        """OpenAI's headers on limits: of the rule on requests, and the one on tokens, that has the least left."""
        found: Headers = []
        left = self._left
        for kind, rules in ((b"requests", self._plan.requests), (b"tokens", self._plan.tokens)):
            if rules:
                at = rules[0] if len(rules) == 1 else min(rules, key=left.__getitem__)
                found += headers_of(kind, self._plan.rules[at], left[at])
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


def headers_of(kind: bytes, rule: Rule, left: int | None, seconds: float | None = None) -> Headers:
    """The headers on one rule; without the middle one where nobody knows what is `left`.

    `seconds` until it is whole again are those of its period by default.
    """
    limit, remaining, reset = _NAMES[kind]
    after = rule.period if seconds is None and isinstance(rule.period, float) else seconds
    found = [(limit, b"%d" % rule.limit)]
    if left is not None:
        found.append((remaining, b"%d" % max(0, left)))
    if after is not None:
        found.append((reset, duration(after)))
    return found


def duration(seconds: float) -> bytes:
    """A time as OpenAI writes it: `20ms`, `1.5s`, `6m0s`, `1h0m0s`."""
    if seconds < 1:
        return b"%dms" % (seconds * 1000)
    minutes, rest = divmod(seconds, 60)
    shown = b"%b" % f"{rest:.3f}".rstrip("0").rstrip(".").encode()
    if not minutes:
        return shown + b"s"
    hours, minutes = divmod(int(minutes), 60)
    return (b"%dh" % hours if hours else b"") + b"%dm" % minutes + shown + b"s"
