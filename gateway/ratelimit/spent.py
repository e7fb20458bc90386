"""What budgets have spent by the records of usage: a count that begins anew goes on from there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gateway.core.call import Principal
from gateway.core.outcome import Usage
from gateway.ratelimit.allowance import Allowances
from gateway.ratelimit.base import Calendar, Rule
from gateway.ratelimit.demand import used
from gateway.ratelimit.plan import compiled


def spent(
    allowances: Allowances, kind: Calendar, records: Iterable[tuple[Principal, str, Usage]]
) -> Mapping[Rule, int]:
    """What each budget of `kind` has spent, by what its callers used of which model in the present stretch."""
    found: dict[Rule, int] = {}
    for principal, model, usage in records:
        plan = compiled(allowances, principal, model)
        amounts = plan.amounts(used(usage, plan.prices))
        for rule, amount in zip(plan.rules, amounts, strict=True):
            if rule.period is kind:
                found[rule] = found.get(rule, 0) + amount
    return found
