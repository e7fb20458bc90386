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
"""After which records are counted that were on disk and not in the database yet when the gateway started."""
_WHO = ("organisation", "team", "user", "key_id", "model")

log = logging.getLogger(__name__)


class Budgets:
    """Tells `counters` what budgets have spent. `now` gives Unix seconds."""

    def __init__(
        self, allowances: Allowances, counters: Counters, database: Database, *, now: Callable[[], float]
    ) -> None:
        self._allowances = allowances
        self._counters = counters
        self._database = database
        self._now = now

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
        """Count once more when the records that were on disk are in the database, or when it can be asked."""
        while True:
            await asyncio.sleep(AGAIN_SECONDS)
            if await self.recount():
                return

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
