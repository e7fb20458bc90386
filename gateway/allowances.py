"""From a checked configuration to what may be used, as the limiter takes it."""

from __future__ import annotations

from collections.abc import Mapping

from config.schema import Config, LimitsOf, PartyLimits, PricesOf
from gateway.ratelimit.allowance import (
    KINDS,
    LONGEST_CONTEXT,
    MILLION,
    Allowance,
    Allowances,
    Level,
    Prices,
)
from gateway.ratelimit.base import Unit


def allowances_of(config: Config) -> Allowances:
    """All limits of `config`, as the limiter takes them."""
    limits, default = config.limits, config.limits.default
    parties: Mapping[Level, Mapping[str, LimitsOf]] = {
        Level.KEY: limits.keys,
        Level.USER: limits.users,
        Level.TEAM: limits.teams,
        Level.ORGANISATION: limits.organisations,
        Level.MODEL: limits.models,
    }
    contexts = {name: model.context for name, model in limits.models.items() if model.context is not None}
    return Allowances(
        defaults={level: _allowance(getattr(default, level.value)) for level in Level},
        parties={
            level: {name: _allowance(each) for name, each in named.items()}
            for level, named in parties.items()
        },
        shadow=limits.shadow,
        prices={name: _prices(each) for name, each in config.prices.items()},
        contexts=contexts,
        context=default.model.context or LONGEST_CONTEXT,
    )


def _allowance(limits: LimitsOf) -> Allowance:
    amounts: dict[str, int | None] = {}
    for name, kind in KINDS.items():
        amount = getattr(limits, name)
        if amount is not None:
            scale = MILLION if kind.unit is Unit.COST else 1
            amounts[name] = None if amount == "unlimited" else max(1, round(amount * scale))
    models = limits.models if isinstance(limits, PartyLimits) else {}
    return Allowance(amounts, limits.shadow, {name: _allowance(each) for name, each in models.items()})


def _prices(prices: PricesOf) -> Prices:
    cached = prices.input if prices.cached_input is None else prices.cached_input
    return Prices(round(prices.input * 1000), round(cached * 1000), round(prices.output * 1000))
