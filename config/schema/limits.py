"""`limits` and `prices`: how much may be used over time, and what it costs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from config.schema.amounts import Amount, Money, Price
from config.schema.names import ModelName, Party
from config.schema.section import Section


class LimitsOf(Section):
    """How much one party may use. What is left out is as `limits.default` has it; `unlimited` lifts that."""

    requests_per_minute: Amount | None = Field(None, description="Requests in any 60 seconds.")
    input_tokens_per_minute: Amount | None = Field(None, description="Tokens of prompts in any 60 seconds.")
    output_tokens_per_minute: Amount | None = Field(None, description="Tokens of answers in any 60 seconds.")
    tokens_per_minute: Amount | None = Field(None, description="Both together in any 60 seconds.")
    concurrent_requests: Amount | None = Field(None, description="Requests that run or wait at once.")
    tokens_per_day: Amount | None = Field(None, description="Tokens of prompts and answers in a day (UTC).")
    tokens_per_month: Amount | None = Field(None, description="The same in a calendar month (UTC).")
    cost_per_day: Money | None = Field(None, description="By `prices`, in their currency, in a day (UTC).")
    cost_per_month: Money | None = Field(None, description="The same in a calendar month (UTC).")
    shadow: bool | None = Field(
        None,
        description="Count and report who would be refused, and refuse nobody. Default: as `limits.shadow`.",
    )


class PartyLimits(LimitsOf):
    """How much each of these may use, unless it has limits of its own."""

    models: dict[ModelName, LimitsOf] = Field(
        default_factory=dict,
        description="Limits on single models, besides: public name, then any of the keys above.",
    )


class ModelLimits(LimitsOf):
    """How much all callers together may use of one model."""

    context: Annotated[int, Field(ge=1, le=10**9)] | None = Field(
        None,
        description="Tokens that a prompt and its answer may have together; what a request that names no max_tokens "
        "is taken to need. Default: 131072.",
    )


class DefaultLimits(Section):
    """For everyone without limits of their own."""

    key: PartyLimits = Field(default_factory=PartyLimits)
    user: PartyLimits = Field(default_factory=PartyLimits)
    team: PartyLimits = Field(default_factory=PartyLimits)
    organisation: PartyLimits = Field(default_factory=PartyLimits)
    model: ModelLimits = Field(default_factory=ModelLimits)


class Limits(Section):
    """How much may be used over time. A request has to fit all limits that it is under; none by default."""

    store: Literal["auto", "memory", "valkey"] = Field(
        "auto",
        description="Where is counted. memory: in each gateway for itself. valkey: in the server of `redis`, for all "
        "gateways together; without `redis`, in a Valkey of our own. auto: valkey where there is "
        "`redis`, or limits and several gateway processes, else memory.",
    )
    without_store: Literal["share", "refuse"] = Field(
        "share",
        description="While that server does not answer. share: each gateway keeps to its share of every limit. "
        "refuse: requests under limits are answered 503.",
    )
    gateways: Annotated[int, Field(ge=1, le=10_000)] | None = Field(
        None,
        description="How many gateways share the server: what each takes its share by when it starts while the server is "
        "away. Default: the most that it heard of in the last day.",
    )
    shadow: bool = Field(
        default=False, description="Count and report who would be refused by any limit, and refuse nobody."
    )
    default: DefaultLimits = Field(default_factory=DefaultLimits)
    keys: dict[Party, PartyLimits] = Field(
        default_factory=dict,
        description="Limits of API keys: id of the key, then any of the keys of default.key.",
    )
    users: dict[Party, PartyLimits] = Field(
        default_factory=dict, description="Limits of users, over all their keys: name, then the same keys."
    )
    teams: dict[Party, PartyLimits] = Field(
        default_factory=dict,
        description="Limits of teams, which are the tenants of keys: name, then the same keys.",
    )
    organisations: dict[Party, PartyLimits] = Field(
        default_factory=dict, description="Limits of organisations: name, then the same keys."
    )
    models: dict[ModelName, ModelLimits] = Field(
        default_factory=dict,
        description="Limits of models, over all callers: public name, then any of the keys of default.model.",
    )


class PricesOf(Section):
    """What one model costs, in a currency of your choice for a million tokens, to a thousandth."""

    input: Price = Field(0.0, description="Of prompts.")
    cached_input: Price | None = Field(
        None, description="Of what of a prompt the engine had in its cache. Default: as input."
    )
    output: Price = Field(0.0, description="Of answers.")
