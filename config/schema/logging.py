"""`logging` and `explain`: what is written of each request, and what is remembered."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from config.schema.section import Section


class Logging(Section):
    """What is written, and how."""

    level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level written.")
    format: Literal["auto", "json", "console"] = Field(
        "auto", description="auto: console on a terminal, JSON lines elsewhere."
    )


class Explain(Section):
    """What is kept in memory of the last requests, for `cascadia explain`. No prompts and no answers."""

    records: Annotated[int, Field(ge=0, le=1_000_000)] = Field(
        20_000, description="Requests remembered at most; 0 remembers none."
    )
    max_bytes: Annotated[int, Field(ge=0, le=1 << 34)] = Field(
        32 * 1024 * 1024, description="Memory they may take, in bytes; the oldest go first."
    )
