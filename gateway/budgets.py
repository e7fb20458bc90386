"""Budgets go on from the records of usage when a gateway starts: a restart is no way to a new one, nor is a kill.

What earlier processes used is in the database, or still in the spool alone. Of calls that a killed one left open nobody
knows yet what they used: they are taken for the most that they could use, until their records are in the database.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import TypeAlias

from gateway.core.call import Principal
from gateway.core.errors import StoreUnavailable
from gateway.core.outcome import Usage
from gateway.ledger.ledger import BYTES_PER_TOKEN
from gateway.ledger.records import Began, Ended, Record, Who
from gateway.ledger.usage import DAY, Question, answer, known
from gateway.ratelimit.allowance import Allowances
from gateway.ratelimit.base import Calendar, Counters, Rule
from gateway.ratelimit.calendar import Stretch, stretch_of
from gateway.ratelimit.demand import TEMPLATE_TOKENS
from gateway.ratelimit.memory import MemoryCounters
from gateway.ratelimit.spent import spent
from gateway.store import Database

AGAIN_SECONDS = 60.0
"""Between two looks whether the records that were on disk when the gateway started are in the database."""
_WHO = ("organisation", "team", "user", "key_id", "model")
_HOUR = 3600

Use: TypeAlias = tuple[Principal, str, Usage]

log = logging.getLogger(__name__)


class Budgets:
    """Tells `counters` what budgets had spent before this process."""

    def __init__(
        self,
        allowances: Allowances,
        counters: Counters,
        database: Database,
        *,
        now: Callable[[], float],
        has_left: Callable[[], bool],
        left: Callable[[], Iterable[Record]] = tuple,
    ) -> None:
        """`now` gives Unix seconds, `has_left` whether records of earlier processes are still on disk alone, `left` these."""
        self._allowances = allowances
        self._counters = counters
        self._database = database
        self._now = now
        self._has_left = has_left
        self._left = left
        self._started = now()
        self._told: dict[tuple[Rule, float], int] = {}
        """What was counted for earlier processes, by rule and the beginning of the stretch."""
        self._open: dict[tuple[Rule, float], int] = {}
        """The part of it that stands for calls of which nobody knows the end."""

    async def begin(self) -> None:
        """Count what was spent until now. Before the first call, and once the spool is open."""
        try:
            ended, began = await asyncio.to_thread(_sorted, self._left)
        except OSError as error:
            log.warning("budgets not counted from the spool", extra={"error": str(error)})
            ended, began = [], []
        try:
            there = await known(self._database, [each.id for each in ended])
            lines = [await self._lines(kind, is_first=True) for kind in Calendar]
        except StoreUnavailable as error:
            self._unavailable(error)
            there, lines = frozenset(), [[] for _ in Calendar]
        for kind, found in zip(Calendar, lines, strict=True):
            stretch = stretch_of(kind, self._started)
            rows = [_use(each) for each in ended if each.id not in there and _is_in(each.at, stretch)]
            calls = [self._most(each) for each in began if _is_in(each.at, stretch)]
            certain = spent(self._allowances, kind, [*found, *rows])
            held = spent(self._allowances, kind, calls)
            for rule in certain.keys() | held.keys():
                at = (rule, stretch.begins)
                self._open[at] = held.get(rule, 0)
                self._tell(at, certain.get(rule, 0) + self._open[at])

    async def recount(self, *, is_last: bool = False) -> bool:
        """Count what the database says that earlier processes used. Whether it could be asked.

        With `is_last` all that they left is there: what was taken for open calls beyond that is given back.
        """
        try:
            for kind in Calendar:
                begins = stretch_of(kind, self._now()).begins
                found = spent(self._allowances, kind, await self._lines(kind))
                for rule, amount in found.items():
                    self._tell((rule, begins), amount)
                for at in tuple(self._open) if is_last else ():
                    if at[0].period is kind and at[1] == begins:
                        self._give_back(at, found.get(at[0], 0))
        except StoreUnavailable as error:
            self._unavailable(error)
            return False
        return True

    async def run(self) -> None:
        """Count again until the records that were on disk are in the database and were counted there."""
        is_last = False
        while not is_last:
            await asyncio.sleep(AGAIN_SECONDS)
            were_moved = not self._has_left()  # before it is asked: what comes meanwhile it may not have seen
            is_last = await self.recount(is_last=were_moved) and were_moved

    def _tell(self, at: tuple[Rule, float], amount: int) -> None:
        """Earlier processes spent `amount` at least."""
        told, rule = self._told.get(at, 0), at[0]
        if amount <= told:
            return
        self._told[at] = amount
        if isinstance(self._counters, MemoryCounters):
            self._counters.add(rule, amount - told)
        else:  # those elsewhere remember themselves, if they have not lost it
            self._counters.seed(rule, amount)

    def _give_back(self, at: tuple[Rule, float], amount: int) -> None:
        rest = min(self._told.get(at, 0) - amount, self._open.pop(at, 0))
        if rest > 0 and isinstance(self._counters, MemoryCounters):
            self._told[at] -= rest
            self._counters.add(at[0], -rest)

    def _most(self, began: Began) -> Use:
        """The most that a call may use of which only the beginning is known."""
        context = self._allowances.contexts.get(began.who.model)
        longest = self._allowances.context if context is None else context
        prompt = (began.prompt_estimate + 1) * BYTES_PER_TOKEN + TEMPLATE_TOKENS
        usage = Usage(prompt if context is None else min(prompt, context), began.most_tokens or longest)
        return _caller(began.who), began.who.model, usage

    async def _lines(self, kind: Calendar, *, is_first: bool = False) -> list[Use]:
        """What the database says: at first all that it has, later what ended before this process began."""
        stretch = stretch_of(kind, self._now())
        begin, end = int(stretch.begins), int(stretch.ends) // DAY * DAY
        if is_first or not isinstance(self._counters, MemoryCounters):
            question = Question(begin, end, by=_WHO)
        else:
            question = Question(begin, max(begin, int(self._started) + 1), _HOUR, by=_WHO)
        return [
            (
                Principal(team, key_id, organisation=organisation, user=user or None),
                model,
                Usage(line.prompt_tokens, line.completion_tokens, line.cached_tokens),
            )
            for line in await answer(self._database, question)
            for organisation, team, user, key_id, model in [line.group]
        ]

    def _unavailable(self, error: StoreUnavailable) -> None:
        log.warning("budgets not counted from the records of usage", extra={"error": str(error)})


def _sorted(left: Callable[[], Iterable[Record]]) -> tuple[list[Ended], list[Began]]:
    """Each call that ended, once, and those that began and did not."""
    ended: dict[str, Ended] = {}
    began: dict[str, Began] = {}
    for each in left():
        if isinstance(each, Ended):
            ended[each.id] = each
        elif isinstance(each, Began):
            began[each.id] = each
    return list(ended.values()), [each for each in began.values() if each.id not in ended]


def _is_in(at: float, stretch: Stretch) -> bool:
    return stretch.begins <= at < stretch.ends


def _use(ended: Ended) -> Use:
    usage = Usage(ended.prompt_tokens, ended.completion_tokens, ended.cached_tokens)
    return _caller(ended.who), ended.who.model, usage


def _caller(who: Who) -> Principal:
    return Principal(who.team, who.key_id, organisation=who.organisation, user=who.user or None)
