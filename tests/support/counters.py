"""Counters that answer when a test says so, and insist that what they gave is settled once."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.ratelimit.base import Pending, Refused, Rule, Taken, Taker


class Held:
    """One taking that waits for its answer."""

    def __init__(
        self, counters: HeldCounters, rules: Sequence[Rule], amounts: Sequence[int], taker: Taker
    ) -> None:
        self._counters = counters
        self.rules = rules
        self.amounts = list(amounts)
        self._taker = taker
        self.is_cancelled = False
        self.used: list[int] | None = None

    def cancel(self) -> None:
        assert self in self._counters.waiting, "cancelled after it was answered"
        self._counters.waiting.remove(self)
        self.is_cancelled = True

    def take(self) -> None:
        self._counters.waiting.remove(self)
        self._counters.taken.append(self)
        left = [rule.limit - amount for rule, amount in zip(self.rules, self.amounts, strict=True)]
        self._taker.taken(Taken(left, self._settle))

    def refuse(self, *, after: float = 1.5) -> None:
        self._counters.waiting.remove(self)
        self._taker.refused(Refused(self.rules[0], after))

    def _settle(self, used: Sequence[int]) -> None:
        assert self.used is None, "settled twice"
        self.used = list(used)


class HeldCounters:
    """Answers nothing by itself. `taken` is what it ever gave, in order."""

    def __init__(self) -> None:
        self.waiting: list[Held] = []
        self.taken: list[Held] = []

    def account(self, rules: Sequence[Rule]) -> None:
        """None: all is asked for."""

    def take(self, rules: Sequence[Rule], amounts: Sequence[int], taker: Taker) -> Pending:
        held = Held(self, rules, amounts, taker)
        self.waiting.append(held)
        return Pending(held.cancel)

    def seed(self, rule: Rule, used: int) -> None:
        """Nothing is counted."""

    @property
    def open(self) -> list[Held]:
        """What was given and not settled."""
        return [each for each in self.taken if each.used is None]
