"""A scenario as a person writes it: engines, gateway, workloads, and what to compare.

Strict as the configuration is: a misspelt key is an error. Sizes are tokens, times are seconds unless a name says
otherwise.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, Field, model_validator

from config.schema import Config, Section
from simulation.capacity.speed import Speed, profile, profiles

_T = TypeVar("_T", bound=Section)
Seconds = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)]
Tokens = Annotated[int, Field(ge=1, le=1_000_000)]
Share = Annotated[float, Field(ge=0, le=1)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$")]


def _known(name: str) -> str:
    if name not in profiles():
        raise ValueError(
            f"there is no engine of that name: write one of {', '.join(profiles())}, or use speed"
        )
    return name


class Engines(Section):
    """The engines: how many, how fast, and how many calls the gateway gives each."""

    count: Annotated[int, Field(ge=1, le=512)] = Field(1, description="How many, all alike.")
    profile: Annotated[str, AfterValidator(_known)] | None = Field(
        None, description="The name of a speed that comes with the product."
    )
    speed: Speed | None = Field(None, description="A speed of your own, as the calibration writes.")
    max_in_flight: Annotated[int, Field(ge=1, le=100_000)] = Field(
        64, description="As `max_in_flight` of an engine in the configuration."
    )

    @model_validator(mode="after")
    def _one_speed(self) -> Engines:
        if (self.profile is None) == (self.speed is None):
            raise ValueError("write either profile or speed")
        return self

    @property
    def measured(self) -> Speed:
        """Whichever of the two is given."""
        return self.speed if self.speed is not None else profile(self.profile or "")


class LogNormal(Section):
    """Sizes with a long tail."""

    median: Tokens = Field(description="Half of them are less.")
    sigma: Annotated[float, Field(gt=0, le=3)] = Field(description="Of the logarithm: 1 is a long tail.")
    most: Tokens = Field(description="What is more is cut to this.")


class Part(Section):
    """One size of a mix."""

    share: Annotated[float, Field(gt=0, le=1)] = Field(
        description="How much of the whole, relative to the others."
    )
    tokens: Tokens = Field(description="The size.")


class Sizes(Section):
    """How long something is: one of the four."""

    fixed: Tokens | None = Field(None, description="Always so many tokens.")
    uniform: tuple[Tokens, ...] | None = Field(
        None,
        strict=False,
        min_length=2,
        max_length=2,
        description="From the first to the second number of tokens, alike.",
    )
    lognormal: LogNormal | None = Field(None, description="Most are short, a few are long.")
    mix: tuple[Part, ...] | None = Field(None, strict=False, description="Some of this size, some of that.")

    @model_validator(mode="after")
    def _one(self) -> Sizes:
        if self.mix == ():
            raise ValueError("a mix has at least one part")
        return _exactly_one(self)


class Poisson(Section):
    """Arrivals that know nothing of each other."""

    rate: Positive | None = Field(None, description="So many a second.")
    load: Positive | None = Field(
        None, description="So many as this share of what the engines can carry of it: 2.0 is twice too many."
    )

    @model_validator(mode="after")
    def _one(self) -> Poisson:
        return _exactly_one(self)


class Bursts(Section):
    """Arrivals for a while, then none for a while."""

    rate: Positive | None = Field(None, description="So many a second while it is on.")
    load: Positive | None = Field(
        None, description="While it is on, this share of what the engines can carry."
    )
    on: Positive = Field(description="Seconds of a burst.")
    off: Positive = Field(description="Seconds between two.")

    @model_validator(mode="after")
    def _one(self) -> Bursts:
        if (self.rate is None) == (self.load is None):
            raise ValueError("write either rate or load")
        return self


class Closed(Section):
    """Callers who ask again when they were answered."""

    callers: Annotated[int, Field(ge=1, le=100_000)] = Field(description="So many at once.")
    think: Seconds = Field(0.0, description="Seconds, on average, from an answer to the next request.")


class Arrivals(Section):
    """When requests come: one of the four."""

    poisson: Poisson | None = Field(None, description="At random, at a steady rate.")
    bursts: Bursts | None = Field(None, description="At random, on and off.")
    closed: Closed | None = Field(None, description="As fast as they are answered.")
    trace: Path | None = Field(
        None, strict=False, description="As a JSONL file says, relative to this file's folder."
    )

    @model_validator(mode="after")
    def _one(self) -> Arrivals:
        return _exactly_one(self)

    @property
    def load(self) -> float | None:
        """The share of capacity that is asked for, if any."""
        open_loop = self.poisson or self.bursts
        return None if open_loop is None else open_loop.load


class Prefix(Section):
    """A text at the beginning that many requests share."""

    tokens: Tokens = Field(description="How long it is.")
    groups: Annotated[int, Field(ge=1, le=1_000_000)] = Field(1, description="How many such texts there are.")


class Turns(Section):
    """Conversations: each request repeats what was said before."""

    count: Annotated[int, Field(ge=1, le=1000)] = Field(description="Requests of one conversation.")
    think: Seconds = Field(5.0, description="Seconds, on average, from an answer to the next request.")


class Goal(Section):
    """What makes an answer a good one. What is not named is not asked for."""

    first_token: Positive | None = Field(None, description="Seconds until the first token, at most.")
    per_token: Positive | None = Field(None, description="Seconds a token after that, on average, at most.")
    total: Positive | None = Field(None, description="Seconds until the last token, at most: the deadline.")


class Workload(Section):
    """Requests of one kind, from one tenant."""

    name: Name = Field(description="What it is called in the report.")
    tenant: Name = Field("tenant", description="Whose requests they are.")
    weight: Annotated[float, Field(gt=0, le=1000)] = Field(
        1.0, description="The tenant's share relative to others'."
    )
    tier: Literal["flex", "default", "priority"] = Field(
        "default", description="As `service_tier` of a request."
    )
    arrivals: Arrivals = Field(description="When they come.")
    prompt: Sizes = Field(description="Tokens of a message of the caller's.")
    output: Sizes = Field(description="Tokens of an answer.")
    max_tokens: Tokens | None = Field(
        None, description="What requests name as max_tokens. Default: exactly what the answer has."
    )
    prefix: Prefix | None = Field(None, description="A shared beginning, before the caller's message.")
    turns: Turns | None = Field(None, description="Conversations instead of single requests.")
    names_session: bool = Field(
        False, description="Whether requests name their prefix or conversation as a key."
    )
    stream: bool = Field(True, description="Whether answers are streamed.")
    deadline: Positive | None = Field(
        None,
        description="Seconds that a caller gives its request: told to the gateway as x-request-deadline-ms.",
    )
    patience: Positive | None = Field(None, description="Seconds after which a caller hangs up.")
    goal: Goal = Field(Goal(), description="What makes an answer a good one.")
    begins: Seconds = Field(0.0, description="Seconds from the start to its first arrival.")
    ends: Positive | None = Field(
        None, description="Seconds from the start to its last. Default: the duration."
    )


class Variant(Section):
    """One of several gateways that get the same requests."""

    name: Name = Field(description="What it is called in the report.")
    gateway: Config = Field(Config(), description="What is different from the scenario's gateway.")
    without: tuple[Name, ...] = Field((), strict=False, description="Workloads that are left out.")


class Scenario(Section):
    """All of it."""

    about: str = Field("", description="One line for the report.")
    seed: Annotated[int, Field(ge=0)] = Field(1, description="Everything random follows from it.")
    duration: Positive = Field(60.0, description="Virtual seconds in which requests come.")
    warmup: Seconds = Field(10.0, description="Virtual seconds at the beginning that are not counted.")
    engines: Engines = Field(description="What answers.")
    gateway: Config = Field(Config(), description="Keys as in cascadia.yaml.")
    workloads: tuple[Workload, ...] = Field(strict=False, description="What is asked.")
    compare: tuple[Variant, ...] = Field(
        (),
        strict=False,
        description="Gateways that get the same requests; figures are set against the first one's.",
    )

    @model_validator(mode="after")
    def _is_consistent(self) -> Scenario:
        if not self.workloads:
            raise ValueError("there are no workloads: nothing is asked")
        if self.warmup >= self.duration:
            raise ValueError("warmup is not shorter than duration: nothing would be counted")
        for what, names in (("workloads", self.workloads), ("variants", self.compare)):
            known = [each.name for each in names]
            if len(set(known)) < len(known):
                raise ValueError(f"two {what} have the same name")
        known = [each.name for each in self.workloads]
        for variant in self.compare:
            for name in variant.without:
                if name not in known:
                    raise ValueError(
                        f"variant {variant.name} leaves out {name}, and no workload is called so"
                    )
        weights: dict[str, float] = {}
        for workload in self.workloads:
            if weights.setdefault(workload.tenant, workload.weight) != workload.weight:
                raise ValueError(f"tenant {workload.tenant} has two weights")
        return self

    def variants(self) -> tuple[Variant, ...]:
        """What to run: those to compare, or the one gateway there is."""
        return self.compare or (Variant(name="gateway"),)

    def configuration(self, variant: Variant) -> Config:
        """The whole configuration of one variant. Raises `ValidationError` when the two do not fit each other."""
        own = self.gateway.model_dump(exclude_unset=True)
        merged = _merged(own, variant.gateway.model_dump(exclude_unset=True))
        return Config.model_validate(_merged(merged, {"auth": {"mode": "anonymous"}}))


def _exactly_one(section: _T) -> _T:
    given = [name for name in type(section).model_fields if getattr(section, name) is not None]
    if len(given) != 1:
        names = ", ".join(type(section).model_fields)
        raise ValueError(f"exactly one of these is to be given: {names}")
    return section


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for name, value in above.items():
        old = merged.get(name)
        merged[name] = _merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged
