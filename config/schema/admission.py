"""`admission`: how many calls run and wait, who goes next, and where to."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from config.schema.amounts import Seconds
from config.schema.names import HeaderName
from config.schema.section import Section, contradiction


class Admission(Section):
    """How many calls run and wait."""

    ordering: Literal["fair", "fifo"] = Field(
        "fair",
        description="Who goes next. fair: by tier, then fair between tenants, then by deadline. fifo: as they came.",
    )
    lower_tiers: Annotated[float, Field(ge=0, le=0.5, allow_inf_nan=False)] = Field(
        0.05,
        description="Part of the slots that a lower tier has while higher ones wait; 0 lets it starve. For fair.",
    )
    reserve: Annotated[float, Field(ge=0, le=0.5, allow_inf_nan=False)] = Field(
        0.1,
        description="Most of a model's slots that are kept free, when they were missed, for tenants that ask for less "
        "than their share; 0: none. For fair.",
    )
    newest_first: bool = Field(
        default=True,
        description="Serve each tenant's newest first while more than half of max_queue wait. For fair.",
    )
    prompt_token_cost: Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False)] = Field(
        1.0, description="What a prompt token that is not in an engine's cache counts in a tenant's share."
    )
    output_token_cost: Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)] = Field(
        2.0, description="What a generated token counts in a tenant's share."
    )
    max_queue: Annotated[int, Field(ge=0, le=100_000)] = Field(
        1024,
        description="Calls that may wait per model; one more is answered 503, or takes the place of another.",
    )
    max_queue_tokens: Annotated[int, Field(ge=1, le=10**12)] | None = Field(
        None, description="Tokens of the calls that wait per model, as estimated. Default: no bound."
    )
    max_queue_bytes: Annotated[int, Field(ge=1024, le=1 << 40)] | None = Field(
        None, description="Bytes of the bodies that wait per model. Default: no bound but the memory's."
    )
    when_empty: Literal["refuse", "wait"] = Field(
        "refuse", description="What a call does when no engine serves its model and one starts."
    )
    max_start_wait: Seconds = Field(
        30.0, description="Longest wait for an engine that starts, in seconds. For when_empty: wait."
    )
    limit: Literal["fixed", "adaptive"] = Field(
        "fixed",
        description="How many calls a replica holds. fixed: max_in_flight. adaptive: up to that, as long as hardly any "
        "wait inside the engine.",
    )
    engine_priority: bool = Field(
        default=False,
        description="Tell engines the tier as `priority`; they need --scheduling-policy priority.",
    )
    policy: Literal["scored", "least_requests", "least_tokens", "round_robin", "session", "prefix"] = Field(
        "scored", description="How a replica is chosen among those with room: docs/routing.md."
    )
    session_header: HeaderName | None = Field(
        None,
        description="Request header that names a session, for the policy session and for splits; it goes before "
        "prompt_cache_key and user. Default: none.",
    )
    prefix_source: Literal["sent", "events"] = Field(
        "sent",
        description="How the policy `scored` knows what is in an engine's prefix cache. sent: by what was sent to it. "
        "events: by what vLLM says of its own, compared with the prompt's tokens.",
    )

    @model_validator(mode="after")
    def _someone_asks(self) -> Admission:
        if self.prefix_source == "events" and self.policy != "scored":
            raise contradiction(
                f"'prefix_source: events' is given with 'policy: {self.policy}'",
                why="only the policy `scored` asks what engines have in their caches",
                hint="set policy: scored, or remove prefix_source",
                below=("prefix_source",),
            )
        return self
