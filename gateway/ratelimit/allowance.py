"""What an operator grants, as plain values: so much of these kinds, to a key, a user, a team, an organisation, a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from gateway.ratelimit.base import Calendar, Unit

MINUTE = 60.0
MILLION = 1_000_000
LONGEST_CONTEXT = 131_072
"""Tokens of a model whose context nobody names: as many as most have, or more."""


class Level(StrEnum):
    """Whom a limit is for. A call is held to those of all of them."""

    KEY = "key"
    USER = "user"
    TEAM = "team"
    ORGANISATION = "organisation"
    MODEL = "model"


class Kind(NamedTuple):
    """One thing that can be limited."""

    name: str
    """As in the configuration, and in metrics."""
    unit: Unit
    period: float | Calendar | None
    words: str
    """What a number of it is, for messages."""


KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("requests_per_minute", Unit.REQUESTS, MINUTE, "requests per minute"),
        Kind("input_tokens_per_minute", Unit.INPUT_TOKENS, MINUTE, "input tokens per minute"),
        Kind("output_tokens_per_minute", Unit.OUTPUT_TOKENS, MINUTE, "output tokens per minute"),
        Kind("tokens_per_minute", Unit.TOKENS, MINUTE, "tokens per minute"),
        Kind("concurrent_requests", Unit.SLOTS, None, "requests at once"),
        Kind("tokens_per_day", Unit.TOKENS, Calendar.DAY, "tokens per day"),
        Kind("tokens_per_month", Unit.TOKENS, Calendar.MONTH, "tokens per month"),
        Kind("cost_per_day", Unit.COST, Calendar.DAY, "of cost per day"),
        Kind("cost_per_month", Unit.COST, Calendar.MONTH, "of cost per month"),
    )
}


@dataclass(frozen=True, slots=True)
class Allowance:
    """What one party may use. A kind that is not in `amounts` is left to the default, `None` is no limit."""

    amounts: Mapping[str, int | None] = field(default_factory=dict)
    shadow: bool | None = None
    """Whether it is counted and told of only. `None` leaves it to the default."""
    models: Mapping[str, Allowance] = field(default_factory=dict)
    """What it may use of single models, besides."""

    def over(self, default: Allowance) -> Allowance:
        """This, and `default` where this says nothing."""
        return Allowance(
            {**default.amounts, **self.amounts},
            default.shadow if self.shadow is None else self.shadow,
            {
                name: self.models.get(name, NOTHING).over(default.models.get(name, NOTHING))
                for name in default.models.keys() | self.models.keys()
            },
        )


NOTHING = Allowance()


class Prices(NamedTuple):
    """What tokens of a model cost, each, in thousandths of a millionth of the currency.

    A price of 0.15 for a million tokens is 150.
    """

    input: int = 0
    cached_input: int = 0
    """Of input that the engine had in its cache."""
    output: int = 0


FREE = Prices()


@dataclass(frozen=True, slots=True)
class Allowances:
    """All limits of one gateway."""

    defaults: Mapping[Level, Allowance] = field(default_factory=dict)
    """For every party of a level."""
    parties: Mapping[Level, Mapping[str, Allowance]] = field(default_factory=dict)
    shadow: bool = False
    """Whether nobody is refused."""
    prices: Mapping[str, Prices] = field(default_factory=dict)
    contexts: Mapping[str, int] = field(default_factory=dict)
    """Tokens that a prompt and its answer may have together, by model."""
    context: int = LONGEST_CONTEXT
    """The same for other models."""

    def __bool__(self) -> bool:
        """Whether anything is limited."""
        every = [
            *self.defaults.values(),
            *(each for level in self.parties.values() for each in level.values()),
        ]
        return any(_limits(each) for each in every)

    @property
    def has_budgets(self) -> bool:
        """Whether anything is limited by the day or month."""
        every = [
            *self.defaults.values(),
            *(each for level in self.parties.values() for each in level.values()),
        ]
        every += [single for each in every for single in each.models.values()]
        return any(
            amount is not None and isinstance(KINDS[name].period, Calendar)
            for each in every
            for name, amount in each.amounts.items()
        )

    def of(self, level: Level, name: str) -> Allowance:
        """What `name` may use."""
        own = self.parties.get(level, {}).get(name, NOTHING)
        return own.over(self.defaults.get(level, NOTHING))


def _limits(allowance: Allowance) -> bool:
    return any(amount is not None for amount in allowance.amounts.values()) or any(
        _limits(each) for each in allowance.models.values()
    )
