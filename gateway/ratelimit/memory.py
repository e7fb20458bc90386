"""Counts in this process: exact for one gateway, and begun anew when it starts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from gateway.ratelimit.base import Counters, Refused, Rule, Taken, Taker
from gateway.ratelimit.counts import Cell, Count, SlotCount, count_for

_FIRST_LOOK = 256


class MemoryCounters:
    """Exact counts. `clock` gives monotonic seconds for windows, `wall` Unix seconds for days and months."""

    def __init__(self, *, clock: Callable[[], float], wall: Callable[[], float]) -> None:
        self._clock = clock
        self._wall = wall
        self._counts: dict[str, Count] = {}
        self._look_at = _FIRST_LOOK

    def __repr__(self) -> str:
        return f"<MemoryCounters {len(self._counts)} counts>"

    def __len__(self) -> int:
        return len(self._counts)

    def held(self) -> int:
        """Slots that are taken now, of all rules."""
        return sum(count.used for count in self._counts.values() if isinstance(count, SlotCount))

    def take(self, rules: Sequence[Rule], amounts: Sequence[int], taker: Taker) -> Taken | Refused:  # noqa: ARG002
        """Take all or nothing, at once."""
        if len(self._counts) >= self._look_at:
            self._drop_idle()
        counts: list[Count] = []
        refused: list[int] = []
        exceeded: list[int] = []
        known = self._counts
        for index, rule in enumerate(rules):
            count = known.get(rule.key)
            if count is None:
                count = self._begin(rule)
            else:
                count.roll()
            counts.append(count)
            if count.used + amounts[index] > rule.limit:
                (exceeded if rule.shadow else refused).append(index)
        if refused:
            return _refusal(rules, amounts, counts, refused)
        if exceeded:
            return self._past_shadows(rules, amounts, counts, exceeded)
        cells = [count.take(amount) for count, amount in zip(counts, amounts, strict=True)]
        left = [rule.limit - count.used for rule, count in zip(rules, counts, strict=True)]
        return Taken(left, partial(self._settle, rules, amounts, cells))

    def seed(self, rule: Rule, used: int) -> None:
        """Count at least `used`."""
        count = self._counts.get(rule.key) or self._begin(rule)
        count.roll()
        if used > count.used:
            count.take(used - count.used)

    def _past_shadows(
        self, rules: Sequence[Rule], amounts: Sequence[int], counts: list[Count], exceeded: list[int]
    ) -> Taken:
        """Take all but what shadow rules would have refused."""
        kept = [index for index in range(len(rules)) if index not in exceeded]
        cells = [counts[index].take(amounts[index]) for index in kept]
        left = [rule.limit - count.used for rule, count in zip(rules, counts, strict=True)]
        kept_rules, kept_amounts = [rules[index] for index in kept], [amounts[index] for index in kept]

        def settle(used: Sequence[int]) -> None:
            self._settle(kept_rules, kept_amounts, cells, [used[index] for index in kept])

        return Taken(left, settle, [rules[index] for index in exceeded])

    def _settle(
        self, rules: Sequence[Rule], amounts: Sequence[int], cells: Sequence[Cell], used: Sequence[int]
    ) -> None:
        known = self._counts
        for rule, taken, cell, real in zip(rules, amounts, cells, used, strict=True):
            if real != taken or rule.period is None:
                count = known.get(rule.key)  # dropped meanwhile, if the call ran for longer than the period
                if count is None:
                    count = self._begin(rule)
                count.settle(cell, taken, real)

    def _begin(self, rule: Rule) -> Count:
        """A count for `rule`, which has none."""
        count = self._counts[rule.key] = count_for(rule, self._clock, self._wall)
        count.roll()
        return count

    def _drop_idle(self) -> None:
        """Forget whom nothing is counted for. Between two takings: one that is under way holds counts."""
        for key, count in tuple(self._counts.items()):
            count.roll()
            if count.is_idle:
                del self._counts[key]
        self._look_at = max(_FIRST_LOOK, 2 * len(self._counts))


def _refusal(
    rules: Sequence[Rule], amounts: Sequence[int], counts: Sequence[Count], refused: Sequence[int]
) -> Refused:
    """The rule that makes the caller wait longest: after it, all have room."""
    waits = [
        (counts[index].wait(counts[index].used + amounts[index] - rules[index].limit), index)
        for index in refused
    ]
    after, index = max(waits)
    return Refused(rules[index], after)


_: type[Counters] = MemoryCounters
