"""Counting without the server: this gateway keeps to its share of every limit, so that all together keep to the limit.

The shares of N gateways add up to the limit exactly: where it does not divide, those of the first ranks have one more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from gateway.ratelimit.base import Counters, Refused, Rule, Taken, Taker, Unavailable
from gateway.ratelimit.shared.count import Count
from gateway.ratelimit.shared.link import Population
from gateway.ratelimit.shared.plan import Plan

ASK_AGAIN_S: Final = 1.0


class _Nobody:
    """Counts in this process answer at once: whoever asks them is told nothing later."""

    def taken(self, taken: Taken) -> None:
        """Never."""

    def refused(self, refused: Refused | Unavailable) -> None:
        """Never."""


NOBODY: Final[Taker] = _Nobody()


def _without_slots(plan: Plan, amounts: Sequence[int]) -> list[int]:
    """The amounts that counts in this process see: what is held of slots outlives them."""
    return [0 if count.kind == "s" else amount for count, amount in zip(plan.counts, amounts, strict=True)]


class Alone:
    """Counts of one outage. `owe` takes what is to be told to the server when it is back, `held` frees slots."""

    def __init__(
        self,
        local: Counters,
        *,
        clock: Callable[[], float],
        wall: Callable[[], float],
        owe: Callable[[Count, int, int], None],
        release: Callable[[Count, int], None],
        refuses: bool,
    ) -> None:
        """`clock` gives monotonic seconds, `wall` Unix seconds. `owe` is told where an amount was taken, and how much.

        With `refuses` nothing is guessed: every taking is `Unavailable`.
        """
        self._local = local
        self._clock = clock
        self._wall = wall
        self._owe = owe
        self._release = release
        self._refuses = refuses
        self._known: set[Count] = set()

    def take(
        self, plan: Plan, amounts: Sequence[int], population: Population
    ) -> Taken | Refused | Unavailable:
        """Take of this gateway's share, all or nothing."""
        if self._refuses:
            return Unavailable(ASK_AGAIN_S)
        shares = plan.shares(population)
        for index, (count, share) in enumerate(zip(plan.counts, shares, strict=True)):
            held = count.held if count.kind == "s" else 0
            if held + amounts[index] > share.limit and not share.shadow:
                return Refused(plan.rules[index], ASK_AGAIN_S)
            if count not in self._known:
                self._begin(count, plan.rules[index], share)
        answer = self._local.take(shares, _without_slots(plan, amounts), NOBODY)
        if isinstance(answer, Refused):
            return Refused(plan.rules[shares.index(answer.rule)], min(answer.after, ASK_AGAIN_S))
        if not isinstance(answer, Taken):  # counts in this process answer at once
            return Unavailable(ASK_AGAIN_S)
        return self._taken(plan, amounts, shares, answer)

    def _taken(self, plan: Plan, amounts: Sequence[int], shares: Sequence[Rule], local: Taken) -> Taken:
        counted = [share not in local.exceeded for share in shares]
        left = list(local.left)
        wall = self._wall()
        buckets = [count.bucket_at(wall) for count in plan.counts]
        for index, count in enumerate(plan.counts):
            if count.kind == "s":
                count.held += amounts[index]
                left[index] = shares[index].limit - count.held
            elif counted[index] and amounts[index]:
                self._owe(count, buckets[index], amounts[index])

        def settle(used: Sequence[int]) -> None:
            local.settle(_without_slots(plan, used))
            for index, count in enumerate(plan.counts):
                if count.kind == "s":
                    self._release(count, amounts[index])
                elif counted[index] and used[index] > amounts[index]:
                    self._owe(count, count.bucket_at(self._wall()), used[index] - amounts[index])
                elif counted[index] and used[index] < amounts[index]:
                    self._owe(count, buckets[index], used[index] - amounts[index])

        return Taken(left, settle, [plan.rules[index] for index, was in enumerate(counted) if not was])

    def _begin(self, count: Count, rule: Rule, share: Rule) -> None:
        """Take the same part of the share as was last known to be used of the whole."""
        self._known.add(count)
        if count.kind == "s" or count.left is None or not rule.limit:
            return
        if not count.is_of_now(count.left_at, self._clock(), self._wall()):
            return
        left = max(0, min(count.left, rule.limit))
        self._local.seed(share, share.limit - share.limit * left // rule.limit)
