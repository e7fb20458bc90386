"""Requests that were recorded somewhere, one a line."""

from __future__ import annotations

from pydantic import Field

from config.schema import Section
from simulation.capacity.scenario import Seconds, Tokens


class TraceLine(Section):
    """One request of a JSONL trace."""

    at: Seconds = Field(description="Seconds from the start of the trace.")
    prompt: Tokens | None = Field(
        None, description="Tokens of the prompt. Default: drawn as the workload says."
    )
    output: Tokens | None = Field(
        None, description="Tokens of the answer. Default: drawn as the workload says."
    )
    prefix: str | None = Field(None, description="Requests with the same word here begin alike.")
