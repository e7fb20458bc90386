"""Budgets go on from the records of usage when a gateway starts: a restart is no way to a new one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from gateway.core.call import Principal
from gateway.core.errors import StoreUnavailable
from gateway.core.outcome import Usage
from gateway.ledger.usage import DAY, Question, answer
from gateway.ratelimit.allowance import Allowances
from gateway.ratelimit.base import Calendar, Counters
from gateway.ratelimit.calendar import stretch_of
from gateway.ratelimit.spent import spent
from gateway.store import Database

AGAIN_SECONDS = 60.0
"""Between two looks whether the records that were on disk when the gateway started are in the database."""
_WHO = ("organisation", "team", "user", "key_id", "model")

log = logging.getLogger(__name__)


class Budgets:
    """Tells `counters` what budgets have spent."""

    def __init__(
        self,
        allowances: Allowances,
        counters: Counters,
        database: Database,
        *,
        now: Callable[[], float],
        has_left: Callable[[], bool],
    ) -> None:
        """`now` gives Unix seconds, `has_left` whether records of earlier processes are still on disk alone."""
        self._allowances = allowances
        self._counters = counters
        self._database = database
        self._now = now
        self._has_left = has_left

    async def recount(self) -> bool:
        """Count what records say for the present day and month. Whether the database could be asked."""
        try:
            for kind in Calendar:
                await self._count(kind)
        except StoreUnavailable as error:
            log.warning("budgets not counted from the records of usage", extra={"error": str(error)})
            return False
        return True

    async def run(self) -> None:
        """Count again until the records that were on disk are in the database and were counted there."""
        is_last = False
        while not is_last:
            await asyncio.sleep(AGAIN_SECONDS)
            were_moved = not self._has_left()  # before it is asked: what comes meanwhile it may not have seen
            is_last = await self.recount() and were_moved

    async def _count(self, kind: Calendar) -> None:
        stretch = stretch_of(kind, self._now())
        begin = int(stretch.begins)
        lines = await answer(self._database, Question(begin, int(stretch.ends) // DAY * DAY, by=_WHO))
        records = [
            (
                Principal(team, key_id, organisation=organisation, user=user or None),
                model,
                Usage(line.prompt_tokens, line.completion_tokens, line.cached_tokens),
            )
            for line in lines
            for organisation, team, user, key_id, model in [line.group]
        ]
        for rule, amount in spent(self._allowances, kind, records).items():
            self._counters.seed(rule, amount)
