"""The limiter: from a call to what it holds of all limits that it is under, or to the refusal that says which and until when."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

from gateway.core.call import Call, Principal
from gateway.core.errors import ExceedsLimit, GatewayError, LimitsUnavailable, QuotaExceeded, RateLimited
from gateway.ratelimit.allowance import MILLION, Allowances, Level
from gateway.ratelimit.base import Counters, Pending, Refused, Rule, Taken, Unavailable, Unit
from gateway.ratelimit.demand import ONE, Demand, worst_case
from gateway.ratelimit.headers import of_refusal
from gateway.ratelimit.plan import Plan, Source, compiled
from gateway.ratelimit.reservation import Reservation
from gateway.ratelimit.tally import Tally

MOST_PLANS = 10_000
"""Pairs of key and model whose plans are kept."""
_OWNERS = {
    Level.KEY: "this key",
    Level.USER: "this user",
    Level.TEAM: "this team",
    Level.ORGANISATION: "this organisation",
    Level.MODEL: "this model",
}


class Reserver(Protocol):
    """Who waits for a reservation. Exactly one of the two is called, once, and none after `Reserving.cancel`."""

    def reserved(self, reservation: Reservation) -> None:
        """It is yours; you settle it."""
        ...

    def unreserved(self, error: GatewayError) -> None:
        """There is none."""
        ...


class Limiter:
    """Holds calls to `allowances`, counted with `counters`."""

    def __init__(self, allowances: Allowances, counters: Counters) -> None:
        self._allowances = allowances
        self._counters = counters
        self._plans: dict[tuple[str, str], tuple[Principal, Plan]] = {}
        self.tally = Tally()

    def __repr__(self) -> str:
        return f"<Limiter {self._counters!r}>"

    def reserve(self, call: Call, reserver: Reserver) -> Reservation | Reserving | None:
        """Take the most that `call` may use; `None` where nothing limits it.

        A `Reserving` answers later, unless it is cancelled. Raises `ExceedsLimit` for what could never be, `RateLimited`
        and `QuotaExceeded` for what cannot be now, `LimitsUnavailable` when nobody knows.
        """
        plan = self._plan(call.principal, call.model)
        if not plan.rules:
            return None
        if plan.is_simple:
            worst, amounts = ONE, plan.amounts(ONE)
        else:
            worst = self._worst(plan, call)
            amounts = plan.amounts(worst)
            self._check(plan, amounts, call)
        reserving = Reserving(self, plan, worst, amounts, reserver)
        answer = self._counters.take(plan.rules, amounts, reserving)
        if isinstance(answer, Taken):
            return self.held(plan, worst, amounts, answer)
        if isinstance(answer, Pending):
            reserving.cancel = answer.cancel
            return reserving
        raise self.refusal(plan, answer)

    def _worst(self, plan: Plan, call: Call) -> Demand:
        return worst_case(
            call.envelope,
            is_chat=call.operation == "chat",
            prices=plan.prices,
            context=plan.context,
            longest=plan.longest,
        )

    def _check(self, plan: Plan, amounts: list[int], call: Call) -> None:
        """Raise `ExceedsLimit` for what no limit would ever have room for."""
        for rule, amount in zip(plan.rules, amounts, strict=True):
            if amount > rule.limit and not rule.shadow:
                source = plan.source(rule)
                self.tally.refuse(source, "too_large")
                raise _exceeds(rule, source, amount, call)

    def held(self, plan: Plan, worst: Demand, amounts: list[int], taken: Taken) -> Reservation:
        """What was taken, as its holder gets it."""
        if taken.exceeded:
            self.tally.shadow([plan.source(rule) for rule in taken.exceeded])
        return Reservation(plan, worst, amounts, taken, self.tally)

    def refusal(self, plan: Plan, refused: Refused | Unavailable) -> GatewayError:
        """What the caller is told, after it was counted."""
        if isinstance(refused, Unavailable):
            return LimitsUnavailable(
                "The limits of this key cannot be checked now. Try again later.",
                retry_after=max(1, math.ceil(refused.after)),
            )
        source = plan.source(refused.rule)
        self.tally.refuse(source, "no_room")
        return _refusal(refused, source)

    def _plan(self, principal: Principal, model: str) -> Plan:
        key = (principal.key_id, model)
        found = self._plans.get(key)
        if found is not None and (found[0] is principal or found[0] == principal):
            return found[1]
        if len(self._plans) >= MOST_PLANS:
            self._plans.clear()
        plan = compiled(self._allowances, principal, model)
        self._plans[key] = (principal, plan)
        return plan


class Reserving:
    """A reservation that is asked for. `cancel` is for its holder: nobody is told of it after that."""

    __slots__ = ("_amounts", "_limiter", "_plan", "_reserver", "_worst", "cancel")

    def __init__(
        self, limiter: Limiter, plan: Plan, worst: Demand, amounts: list[int], reserver: Reserver
    ) -> None:
        self._limiter = limiter
        self._plan = plan
        self._worst = worst
        self._amounts = amounts
        self._reserver = reserver
        self.cancel: Callable[[], None]

    def taken(self, taken: Taken) -> None:
        """It is there."""
        self._reserver.reserved(self._limiter.held(self._plan, self._worst, self._amounts, taken))

    def refused(self, refused: Refused | Unavailable) -> None:
        """There is none."""
        self._reserver.unreserved(self._limiter.refusal(self._plan, refused))


def _exceeds(rule: Rule, source: Source, amount: int, call: Call) -> ExceedsLimit:
    """What could never fit, and what to do about it."""
    owner = _OWNERS[source.level]
    message = (
        f"This request may use up to {_amount(amount, rule.unit)}, and the limit of {owner} is "
        f"{_limit(rule, source)}: it could never be served."
    )
    if call.envelope.most_tokens is None and rule.unit is not Unit.INPUT_TOKENS:
        message += (
            " It names no max_tokens, so that its answer may be as long as the model allows: send max_tokens."
        )
    elif rule.unit is not Unit.INPUT_TOKENS:
        message += " Send a smaller max_tokens or a shorter prompt."
    else:
        message += " Send a shorter prompt."
    return ExceedsLimit(message, param="max_tokens" if rule.unit is Unit.OUTPUT_TOKENS else None)


def _refusal(refused: Refused, source: Source) -> GatewayError:
    rule, owner = refused.rule, _OWNERS[source.level]
    if rule.is_budget:
        return QuotaExceeded(
            f"The budget of {owner} is used up, or has too little left for this request: {_limit(rule, source)} (UTC).",
            retry_after=math.ceil(refused.after),
        )
    milliseconds = max(1, math.ceil(refused.after * 1000))
    if rule.unit is Unit.SLOTS:
        message = (
            f"Too many requests at once: the limit of {owner} is {rule.limit}. Try again when one is over."
        )
    else:
        seconds = f"{milliseconds / 1000:g}"
        message = f"The limit of {owner} is reached: {_limit(rule, source)}. Try again in {seconds} s."
    return RateLimited(
        message,
        retry_after=math.ceil(milliseconds / 1000),
        retry_after_ms=milliseconds,
        headers=() if rule.unit is Unit.SLOTS else of_refusal(rule, refused.after),
    )


def _limit(rule: Rule, source: Source) -> str:
    if rule.unit is Unit.COST:
        return f"{rule.limit / MILLION:g} {source.kind.words}"
    return f"{rule.limit} {source.kind.words}"


def _amount(amount: int, unit: Unit) -> str:
    if unit is Unit.COST:
        return f"{amount / MILLION:g} of cost"
    return f"{amount} {unit.value.replace('_', ' ')}"
