"""How fast an engine is: what one step of it takes, and what it can hold."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from config import document
from config.schema import Section

PROFILES = Path(__file__).parent / "profiles"
Milliseconds = Annotated[float, Field(ge=0, le=60_000, allow_inf_nan=False)]


class Speed(Section):
    """One engine's parameters. A step of it takes `step_ms`, and so much more for what is worked on in it."""

    step_ms: Annotated[float, Field(gt=0, le=60_000, allow_inf_nan=False)] = Field(
        description="What every step takes, in milliseconds."
    )
    prefill_token_ms: Milliseconds = Field(description="What each token of a prompt adds to a step.")
    sequence_ms: Milliseconds = Field(description="What each sequence that gets a token adds to a step.")
    kilotoken_ms: Milliseconds = Field(
        0.0, description="What each 1000 tokens of context of those sequences add to a step."
    )
    request_ms: Milliseconds = Field(
        0.0, description="From the arrival of a request to its place in the engine's queue."
    )
    max_num_seqs: Annotated[int, Field(ge=1, le=4096)] = Field(256, description="As vLLM's --max-num-seqs.")
    max_num_batched_tokens: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        8192, description="As vLLM's --max-num-batched-tokens: longer prompts are worked on in several steps."
    )
    block_tokens: Annotated[int, Field(ge=1, le=1024)] = Field(16, description="As vLLM's --block-size.")
    kv_blocks: Annotated[int, Field(ge=1, le=10_000_000)] = Field(description="Blocks of the KV cache.")
    max_model_len: Annotated[int, Field(ge=2, le=10_000_000)] = Field(
        8192, description="Prompt and answer together: longer ones are answered 400."
    )
    prefix_caching: bool = Field(True, description="Whether prompts that begin alike share blocks.")

    @model_validator(mode="after")
    def _fits(self) -> Speed:
        if self.max_num_batched_tokens < self.max_num_seqs:
            raise ValueError("max_num_batched_tokens is less than max_num_seqs: vLLM refuses that")
        if self.kv_blocks * self.block_tokens < self.max_model_len:
            raise ValueError("kv_blocks * block_tokens is less than max_model_len: vLLM refuses that")
        return self

    def step_seconds(self, prefill_tokens: int, sequences: int, context_tokens: int) -> float:
        """What a step takes in which so much is done."""
        return (
            self.step_ms
            + self.prefill_token_ms * prefill_tokens
            + self.sequence_ms * sequences
            + self.kilotoken_ms * context_tokens / 1000
        ) / 1000


def profiles() -> list[str]:
    """Names of the speeds that come with the product."""
    return sorted(path.stem for path in PROFILES.glob("*.yaml"))


def profile(name: str) -> Speed:
    """The speed of that name. Raises `KeyError`."""
    if name not in profiles():
        raise KeyError(name)
    return Speed.model_validate(document.read(PROFILES / f"{name}.yaml", name, {}).data)
