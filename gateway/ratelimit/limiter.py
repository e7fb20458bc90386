"""The limiter: from a call to what it holds of all limits that it is under, or to the refusal that says which and until when."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, Protocol

from gateway.core.call import Call, Principal
from gateway.core.errors import ExceedsLimit, GatewayError, LimitsUnavailable, QuotaExceeded, RateLimited
from gateway.ratelimit.account import Account, Rows
from gateway.ratelimit.allowance import MILLION, Allowances, Level
from gateway.ratelimit.base import Counters, Pending, Refused, Rule, Taken, Unavailable, Unit
from gateway.ratelimit.demand import ONE, Demand, worst_case
from gateway.ratelimit.headers import of_refusal
from gateway.ratelimit.plan import Plan, Source, compiled
from gateway.ratelimit.reservation import Elsewhere, Reservation
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
        self._terms: dict[tuple[str, str], Terms] = {}
        self.tally = Tally()

    def __repr__(self) -> str:
        return f"<Limiter {self._counters!r}>"

    def reserve(self, call: Call, reserver: Reserver) -> Reservation | Reserving | None:
        """Take the most that `call` may use; `None` where nothing limits it.

        A `Reserving` answers later, unless it is cancelled. Raises `ExceedsLimit` for what could never be, `RateLimited`
        and `QuotaExceeded` for what cannot be now, `LimitsUnavailable` when nobody knows.
        """
        principal, model = call.principal, call.model
        terms = self._terms.get((principal.key_id, model))
        if terms is None or (terms.principal is not principal and terms.principal != principal):
            terms = self._agree(principal, model)
        plan = terms.plan
        if not plan.rules:
            return None
        worst = (
            ONE
            if plan.is_simple
            else worst_case(call.envelope, call.operation == "chat", plan.prices, plan.context, plan.longest)
        )
        account = terms.account
        if account is None:
            return self._ask(plan, worst, call, reserver)
        rows = account.take(worst)
        if rows is None:
            rows = self._within(plan, worst, call, account)
        return Reservation(plan, worst, self.tally, account, rows)

    def _within(self, plan: Plan, worst: Demand, call: Call, account: Account) -> Rows:
        """Take where not all rules have room: those in shadow may have none."""
        self._check(plan, worst, call)
        answer = account.take_within(worst)
        if isinstance(answer, Refused):
            raise self.refusal(plan, answer)
        self.tally.shadow([plan.sources[index] for index in answer.exceeded])
        return answer.rows

    def _ask(self, plan: Plan, worst: Demand, call: Call, reserver: Reserver) -> Reservation | Reserving:
        """Take of counts elsewhere."""
        self._check(plan, worst, call)
        reserving = Reserving(self, plan, worst, reserver)
        answer = self._counters.take(plan.rules, plan.amounts(worst), reserving)
        if isinstance(answer, Taken):
            return self.held(plan, worst, answer)
        if isinstance(answer, Pending):
            reserving.cancel = answer.cancel
            return reserving
        raise self.refusal(plan, answer)

    def _check(self, plan: Plan, worst: Demand, call: Call) -> None:
        """Raise `ExceedsLimit` for what no limit would ever have room for."""
        for rule, amount in zip(plan.rules, plan.amounts(worst), strict=True):
            if amount > rule.limit and not rule.shadow:
                source = plan.source(rule)
                self.tally.refuse(source, "too_large")
                raise _exceeds(rule, source, amount, call)

    def held(self, plan: Plan, worst: Demand, taken: Taken) -> Reservation:
        """What was taken, as its holder gets it."""
        if taken.exceeded:
            self.tally.shadow([plan.source(rule) for rule in taken.exceeded])
        return Reservation(plan, worst, self.tally, Elsewhere(plan, taken), ())

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

    def _agree(self, principal: Principal, model: str) -> Terms:
        """Look up what calls of `principal` for `model` are held to."""
        if len(self._terms) >= MOST_PLANS:
            self._terms.clear()
        plan = compiled(self._allowances, principal, model)
        account = self._counters.account(plan.rules) if plan.rules else None
        terms = self._terms[principal.key_id, model] = Terms(principal, plan, account)
        return terms


class Terms:
    """What one caller's calls for one model are held to, looked up once."""

    __slots__ = ("account", "plan", "principal")

    def __init__(self, principal: Principal, plan: Plan, account: Account | None) -> None:
        self.principal: Final = principal
        self.plan: Final = plan
        self.account: Final = account
        """Where it is counted in this process; `None` where counts have to be asked for."""


class Reserving:
    """A reservation that is asked for. `cancel` is for its holder: nobody is told of it after that."""

    __slots__ = ("_limiter", "_plan", "_reserver", "_worst", "cancel")

    def __init__(self, limiter: Limiter, plan: Plan, worst: Demand, reserver: Reserver) -> None:
        self._limiter = limiter
        self._plan = plan
        self._worst = worst
        self._reserver = reserver
        self.cancel: Callable[[], None]

    def taken(self, taken: Taken) -> None:
        """It is there."""
        self._reserver.reserved(self._limiter.held(self._plan, self._worst, taken))

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
