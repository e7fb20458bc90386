"""Counts that several gateways share. Exact over all of them while the server answers.

A taking is one call of a script, in which all rules are looked at and counted in one step. A count of which many calls
take gets a stock with it: further calls take of that without asking. Stock is counted by the server from the beginning, it
is good for a quarter of a second, and the server gives less the less there is: near the limit everybody asks. Nobody is
refused without asking.

While the server does not answer, `Alone` does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from gateway.ratelimit.base import Counters, Pending, Refused, Rule, Taken, Taker, Unavailable
from gateway.ratelimit.shared.alone import Alone
from gateway.ratelimit.shared.count import STOCK_S, TAG, Count
from gateway.ratelimit.shared.due import PRESENT, Due
from gateway.ratelimit.shared.link import Link, Population
from gateway.ratelimit.shared.plan import BORN, Plan, word
from gateway.ratelimit.shared.scripts import Scripts
from gateway.ratelimit.shared.taking import Asking, Hold, Where

HOLD_S: Final = 10.0
"""After so long the slots of a gateway that died are free again."""
RENEW_S: Final = 1.0
GONE_S: Final = 5.0
"""A gateway that is not heard of for so long is not counted among those that share."""
SETTLE_MS: Final = 1500
"""A server that lost its memory has heard after so long from everybody who holds slots."""
_TELL_S: Final = 0.005
_SWEEP_S: Final = 0.05
_MOST_PLANS: Final = 4096
_KEPT_S: Final = 600.0


class State(NamedTuple):
    """How it stands, for operators."""

    is_up: bool
    trouble: str | None
    gateways: int
    rank: int | None
    from_stock: int
    """Takings without asking."""
    asked: int
    alone: int


def beat_tail(name: str) -> bytes:
    """What a link says of the gateway `name` each second."""
    words = (b"2", f"{TAG}:gateways".encode(), BORN, name.encode(), b"%d" % (GONE_S * 1000))
    return b"".join(word(each) for each in words)


class SharedCounters:
    """Counts over `link`. `clock` gives monotonic seconds.

    For an outage, `local` makes counts in this process, and `wall` gives the Unix seconds by which its takings are dated.
    """

    def __init__(
        self,
        link: Link,
        scripts: Scripts,
        *,
        name: str,
        clock: Callable[[], float],
        wall: Callable[[], float],
        local: Callable[[], Counters],
        refuses_alone: bool = False,
    ) -> None:
        self._link = link
        self._scripts = scripts
        self._clock = clock
        self._wall = wall
        self._local = local
        self._refuses_alone = refuses_alone
        self._counts: dict[str, Count] = {}
        self._plans: dict[int, Plan] = {}
        self._due = Due()
        self._stocked: set[Count] = set()
        self._telling: asyncio.Handle | None = None
        self._sweeping: asyncio.TimerHandle | None = None
        self._give_foot = word(name.encode()) + word(b"%d" % (HOLD_S * 1000))
        self._name = word(name.encode())
        self._take_foot = b""
        self._foot_of: Population | None = None
        self._memory = link.memory
        self._alone = self._new_alone()
        self.from_stock = self.asked = self.alone = 0
        link.on_up = self._up
        link.on_forgot = self._forgot
        link.on_down = self._down

    def __repr__(self) -> str:
        return (
            f"<SharedCounters {len(self._counts)} counts, {'up' if self._link.is_up else self._link.trouble}>"
        )

    def state(self) -> State:
        """How it stands now."""
        link = self._link
        return State(link.is_up, link.trouble, *link.population, self.from_stock, self.asked, self.alone)

    async def run(self) -> None:
        """Keep the connection and what is held until cancelled; then give everything back."""
        keeping = asyncio.create_task(self._link.run())
        try:
            while True:
                done, _ = await asyncio.wait([keeping], timeout=RENEW_S)
                for task in done:
                    task.result()
                self._renew()
        finally:
            self._return_all()
            self._tell()
            try:
                await self._link.leave()
            finally:
                keeping.cancel()
                await asyncio.gather(keeping, return_exceptions=True)

    # --- Counters

    def account(self, rules: Sequence[Rule]) -> None:
        """None: `take` looks for stock, and asks."""

    def take(
        self, rules: Sequence[Rule], amounts: Sequence[int], taker: Taker
    ) -> Taken | Refused | Unavailable | Pending:
        """From stock at once where there is enough of all, else by asking."""
        plan = self._plans.get(id(rules))
        if plan is None or plan.rules is not rules:
            plan = self._plan(rules)
        if not self._link.is_up:
            return self.take_alone(plan, amounts)
        now = self._clock()
        limits = plan.limits
        for index, count in enumerate(plan.counts):
            if amounts[index] > count.stock or now >= count.until or count.limit != limits[index]:
                return self._ask(plan, amounts, taker, now)
        self.from_stock += 1
        left: list[int] = []
        buckets: list[Where] = []
        for count, amount in zip(plan.counts, amounts, strict=True):
            count.stock -= amount
            count.note(amount)
            count.left = remaining = (count.left or 0) - amount
            left.append(remaining)
            buckets.append(count.bucket)
        return Taken(left, Hold(self, plan, amounts, buckets).settle)

    def seed(self, rule: Rule, used: int) -> None:
        """Tell the server, at the latest when it is back."""
        count = self._count(rule)
        if count.kind not in "dm":
            return
        now, wall = self._clock(), self._wall()
        self._due.replace(count, count.bucket_at(wall), used, count.kind.upper())
        is_known = count.left is not None and count.is_of_now(count.left_at, now, wall)
        count.left = min(count.left or 0, rule.limit - used) if is_known else rule.limit - used
        count.left_at = now
        self._tell_soon()

    # --- asking

    def _ask(
        self, plan: Plan, amounts: Sequence[int], taker: Taker, now: float
    ) -> Pending | Taken | Refused | Unavailable:
        asking = Asking(self, plan, amounts, taker, now)
        words: list[str] = []
        shares = plan.shares(self._link.population)
        for count, limit, share, amount in zip(plan.counts, plan.limits, shares, amounts, strict=True):
            if count.stock and (now >= count.until or count.limit != limit):
                self._return(count)
            own = min(count.stock, amount)
            count.stock -= own
            asking.own.append((count.bucket, own))
            count.note(amount)
            count.used_at = now
            need = -1 if own == amount and amount else amount - own
            words.append(f"{need} {count.wants(now) if need > 0 else 0} {count.held} {share.limit}")
        if self._due:
            self._tell()
        tail = plan.head + word(" ".join(words).encode()) + self._foot()
        if not self._link.call(self._scripts.take, tail, plan.words + 6, asking):
            asking.put_back()
            return self.take_alone(plan, amounts)
        self.asked += 1
        return Pending(asking.cancel)

    def _foot(self) -> bytes:
        population = self._link.population
        if population is not self._foot_of:
            self._foot_of = population
            numbers = (2 * population.gateways, round(STOCK_S * 1000), round(HOLD_S * 1000), SETTLE_MS)
            self._take_foot = self._name + b"".join(word(b"%d" % number) for number in numbers)
        return self._take_foot

    def take_alone(self, plan: Plan, amounts: Sequence[int]) -> Taken | Refused | Unavailable:
        """Without the server."""
        self.alone += 1
        now = self._clock()
        for count in plan.counts:
            count.used_at = now
        return self._alone.take(plan, amounts, self._link.population)

    # --- what holds and asks tell

    def stock_up(self, count: Count, granted: int, bucket: int, limit: int, until: float) -> None:
        """Keep what the server gave beside what was asked for."""
        if count.stock:
            self._return(count)
        count.stock, count.bucket, count.limit, count.until = granted, bucket, limit, until
        self._stocked.add(count)
        if self._sweeping is None:
            self._sweeping = asyncio.get_running_loop().call_later(_SWEEP_S, self._sweep)

    def owe(self, count: Count, bucket: int, amount: int) -> None:
        """Tell the server soon."""
        if bucket == PRESENT and not self._link.is_up:
            bucket = count.bucket_at(self._wall())
        if count.used is not None and self._link.is_up and bucket in (PRESENT, count.used[0]):
            count.used = count.used[0], count.used[1] + amount
        self._due.owe(count, bucket, amount)
        self._tell_soon()

    def release(self, count: Count, amount: int) -> None:
        """Slots are free again: kept as stock where the next call will want them, and there are more for others."""
        now = self._clock()
        kept = min(count.wants(now), (count.left or 0) // (2 * self._link.population.gateways))
        if self._link.is_up and count.stock + amount <= kept:
            if not count.stock:
                self.stock_up(count, amount, 0, count.limit, now + STOCK_S)
            else:
                count.stock += amount
            return
        self.give_slots(count, amount)

    def give_slots(self, count: Count, amount: int) -> None:
        """Give slots back to the server."""
        if amount:
            count.held = max(0, count.held - amount)
            self._due.owe(count, 0, -amount, "s")
            self._tell_soon()

    def is_up(self) -> bool:
        """Whether the server answers."""
        return self._link.is_up

    # --- telling

    def _tell_soon(self) -> None:
        if self._telling is None and self._link.is_up:
            self._telling = asyncio.get_running_loop().call_later(_TELL_S, self._tell)

    def _tell(self) -> None:
        if self._telling is not None:
            self._telling.cancel()
            self._telling = None
        if not self._link.is_up:
            return
        for tail, words, told in self._due.tails(self._give_foot):
            if not self._link.call(self._scripts.give, tail, words, told):
                told.lost()

    def _return(self, count: Count) -> None:
        """Give unused stock back."""
        amount, count.stock = count.stock, 0
        self._stocked.discard(count)
        if not amount:
            return
        if count.kind == "s":
            self.give_slots(count, amount)
        else:
            self.owe(count, count.bucket, -amount)

    def _return_all(self) -> None:
        for count in tuple(self._stocked):
            self._return(count)

    def _sweep(self) -> None:
        now = self._clock()
        for count in tuple(self._stocked):
            if now >= count.until or not count.stock:
                self._return(count)
        loop = asyncio.get_running_loop()
        self._sweeping = loop.call_later(_SWEEP_S, self._sweep) if self._stocked else None

    def _renew(self) -> None:
        """Hold on to slots, and forget counts that nobody used for long."""
        oldest = self._clock() - _KEPT_S
        for key, count in tuple(self._counts.items()):
            if count.held:
                self._due.replace(count, 0, count.held, "h")
            elif count.used_at < oldest:
                del self._counts[key]
                self._stocked.discard(count)
                self._plans.clear()
        if not self._link.is_up:
            self._due.drop_old(self._wall())
        if self._due:
            self._tell()

    # --- up and down

    def _up(self) -> None:
        """Say what is held, and what was used without the server."""
        self._remind("e")
        self._alone = self._new_alone()

    def _forgot(self) -> None:
        """Say it all again; what is on its way now is not held yet, so that more may be held than is known."""
        self._remind("h")

    def _remind(self, how: str) -> None:
        """Say what is held, and to a server that has forgotten it what is known of budgets; then the rest."""
        due, self._due = self._due, Due()
        is_new, self._memory = self._link.memory != self._memory, self._link.memory
        for count in self._counts.values():
            if count.kind == "s":
                self._due.replace(count, 0, count.held, how)
            elif count.used is not None and is_new:
                self._due.replace(count, *count.used, count.kind.upper())
        self._due.join(due)
        self._tell()

    def _down(self) -> None:
        """Use no stock that was given by a server which may have forgotten it."""
        self._return_all()

    def _new_alone(self) -> Alone:
        return Alone(
            self._local(),
            clock=self._clock,
            wall=self._wall,
            owe=self.owe,
            release=self.give_slots,
            refuses=self._refuses_alone,
        )

    # --- looking up

    def _plan(self, rules: Sequence[Rule]) -> Plan:
        plan = Plan(rules, [self._count(rule) for rule in rules])
        if len(self._plans) >= _MOST_PLANS:
            self._plans.clear()
        self._plans[id(rules)] = plan  # the plan keeps the rules, so that no others get this id
        return plan

    def _count(self, rule: Rule) -> Count:
        count = self._counts.get(rule.key)
        if count is None:
            count = self._counts[rule.key] = Count(rule, self._clock())
        return count


_: type[Counters] = SharedCounters
