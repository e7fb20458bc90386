"""The rules that one caller's calls for one model are held to, compiled once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from gateway.core.call import Principal
from gateway.ratelimit.account import places_of
from gateway.ratelimit.allowance import FREE, KINDS, Allowance, Allowances, Kind, Level, Prices
from gateway.ratelimit.base import Calendar, Rule, Unit
from gateway.ratelimit.demand import Demand
from gateway.ratelimit.headers import shown

_COUNTED = frozenset(Unit) - {Unit.REQUESTS, Unit.SLOTS}
"""What has to be known of a request, besides that it is one."""
_TOKEN_UNITS = frozenset({Unit.INPUT_TOKENS, Unit.OUTPUT_TOKENS, Unit.TOKENS})


class Source(NamedTuple):
    """Where a rule comes from: both of closed sets, fit to be labels."""

    level: Level
    kind: Kind


class Plan:
    """Rules side by side with where they come from. Empty where nothing limits the call."""

    __slots__ = (
        "_places",
        "context",
        "is_simple",
        "longest",
        "prices",
        "rules",
        "shown",
        "sources",
    )

    def __init__(
        self, rules: Sequence[tuple[Rule, Source]], prices: Prices, context: int | None, longest: int
    ) -> None:
        self.rules = tuple(rule for rule, _ in rules)
        self.sources = tuple(source for _, source in rules)
        self.prices = prices if any(rule.unit is Unit.COST for rule in self.rules) else FREE
        """What a call's cost is by, where anything counts that."""
        self.context = context
        self.longest = longest
        self._places = places_of(self.rules)
        self.is_simple = not any(rule.unit in _COUNTED for rule in self.rules)
        """Whether the size of a request makes no difference."""
        rates = [(at, rule) for at, rule in enumerate(self.rules) if not (rule.is_budget or rule.shadow)]
        by_header = [
            tuple((at, shown(rule)) for at, rule in rates if rule.unit in units)
            for units in ({Unit.REQUESTS}, _TOKEN_UNITS)
        ]
        self.shown = tuple(rules for rules in by_header if rules)
        """For the headers on requests and those on tokens, where there are any: the rules of which they may be."""

    def amounts(self, demand: Demand) -> list[int]:
        """What each rule counts of `demand`."""
        return [demand[place] for place in self._places]

    def source(self, rule: Rule) -> Source:
        """Where `rule` comes from."""
        return self.sources[self.rules.index(rule)]


def compiled(allowances: Allowances, principal: Principal, model: str) -> Plan:
    """The plan for calls of `principal` for `model`."""
    rules = list(_rules(allowances, principal, model))
    context = allowances.contexts.get(model)
    return Plan(
        rules, allowances.prices.get(model, FREE), context, allowances.context if context is None else context
    )


def _rules(allowances: Allowances, principal: Principal, model: str) -> Iterator[tuple[Rule, Source]]:
    parties = (
        (Level.KEY, principal.key_id),
        (Level.USER, principal.user),
        (Level.TEAM, principal.tenant),
        (Level.ORGANISATION, principal.organisation),
        (Level.MODEL, model),
    )
    for level, name in parties:
        if name is None:
            continue
        allowance, who = allowances.of(level, name), f"{level}:{_escaped(name)}"
        if level is Level.USER:  # a token's user is whoever its issuer says: others may have one of that name
            who += f"|{_escaped(principal.organisation)}|{_escaped(principal.tenant)}"
        yield from _of(allowance, level, who, is_shadow=allowances.shadow)
        if level is not Level.MODEL and model in allowance.models:
            single = allowance.models[model]
            is_shadow = allowances.shadow or (single.shadow is None and bool(allowance.shadow))
            yield from _of(single, level, f"{who}|model:{_escaped(model)}", is_shadow=is_shadow)


def _of(allowance: Allowance, level: Level, who: str, *, is_shadow: bool) -> Iterator[tuple[Rule, Source]]:
    for name, amount in allowance.amounts.items():
        if amount is not None:
            kind = KINDS[name]
            shadow = is_shadow or bool(allowance.shadow)
            key = "|".join((who, kind.unit, *_period(kind.period)))
            yield Rule(key, kind.unit, amount, kind.period, shadow), Source(level, kind)


def _period(period: float | Calendar | None) -> tuple[str, ...]:
    if period is None:
        return ()
    return (period.value,) if isinstance(period, Calendar) else (f"{period:g}",)


def _escaped(name: str) -> str:
    """A name that cannot be taken for two parts of a key."""
    return name.replace("%", "%25").replace("|", "%7C")
