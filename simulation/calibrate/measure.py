"""The measurements, one after the other, on an engine that does nothing else.

Times are those that the engine takes itself, off its metrics page: on a machine with few cores its server tells tokens
late and many at once.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from random import Random

from simulation.calibrate.asking import Heard, NoAnswer, Spent, Target, number, spent
from simulation.calibrate.fit import Measured, fit
from simulation.capacity.speed import Speed

SHORT_TOKENS = 16
REPEATS = 7
ANSWER_TOKENS = 48
MOST_AT_ONCE = 32
_IDS = range(300, 900)
"""Token ids that any vocabulary has and none gives a meaning to."""


class Prompts:
    """Prompts that nothing is in the cache of, whatever was asked of this engine before."""

    def __init__(self) -> None:
        self._rng = Random()

    def new(self, tokens: int) -> list[int]:
        """One of so many token ids."""
        return self._rng.choices(_IDS, k=tokens)


async def speed_of(
    target: Target, *, max_num_seqs: int, max_num_batched_tokens: int, say: Callable[[str], None]
) -> Speed:
    """Measure the engine. Takes a minute or two. Raises as `Target.ask` does."""
    longest = number(await target.page("/v1/models"), r'"max_model_len":\s*(\d+)')
    prompts = Prompts()
    for _ in range(3):
        await target.ask(prompts.new(SHORT_TOKENS), ANSWER_TOKENS)  # what is compiled at first use
    lengths = [SHORT_TOKENS, *(round(longest * share) for share in (0.1, 0.25, 0.5, 0.75))]
    lengths = [length for length in lengths if length <= max_num_batched_tokens]
    prefills: dict[int, list[float]] = {length: [] for length in lengths}
    around = []
    for _, length in itertools.product(range(REPEATS), lengths):  # in turn: noise meets all alike
        took, heard = await _measured(target, prompts, 1, length, 1)
        prefills[length].append(took.prefill)
        around.append(heard[0].first_token - took.prefill - took.queued)
    say(f"prompts of {lengths} tokens measured")
    counts = sorted({1, 2, 4, 8, 16, 32, max_num_seqs} & set(range(1, MOST_AT_ONCE + 1)))
    steps: dict[int, list[float]] = {count: [] for count in counts}
    for _, count in itertools.product(range(REPEATS), counts):
        took, _ = await _measured(target, prompts, count, SHORT_TOKENS, ANSWER_TOKENS)
        steps[count].append(took.decode / took.requests / (ANSWER_TOKENS - 1))
    say(f"{counts} answers at once measured")
    long_context = round(longest * 0.75)
    long_steps: list[float] = []
    for _ in range(REPEATS):
        took, _ = await _measured(target, prompts, 1, long_context, ANSWER_TOKENS)
        long_steps.append(took.decode / (ANSWER_TOKENS - 1))
    short_context = SHORT_TOKENS + ANSWER_TOKENS // 2
    parameters = fit(Measured(prefills, around, steps, long_steps, long_context, short_context))
    page = await target.page("/metrics")
    shape = r'cache_config_info\{[^}]*%s="(\d+)"'
    return Speed(
        step_ms=parameters.step_ms,
        prefill_token_ms=parameters.prefill_token_ms,
        sequence_ms=parameters.sequence_ms,
        kilotoken_ms=parameters.kilotoken_ms,
        request_ms=parameters.request_ms,
        max_num_seqs=max_num_seqs,
        max_num_batched_tokens=max_num_batched_tokens,
        block_tokens=number(page, shape % "block_size"),
        kv_blocks=number(page, shape % "num_gpu_blocks"),
        max_model_len=longest,
    )


async def _measured(
    target: Target, prompts: Prompts, count: int, prompt_tokens: int, answer_tokens: int
) -> tuple[Spent, list[Heard]]:
    """So many requests at once: what the engine says it spent on them, and what was heard."""
    before = spent(await target.page("/metrics"))
    heard = await asyncio.gather(
        *(target.ask(prompts.new(prompt_tokens), answer_tokens) for _ in range(count))
    )
    took = spent(await target.page("/metrics")).since(before)
    if took.requests != count:
        raise NoAnswer(f"the engine ended {took.requests} requests while {count} were asked: it is not alone")
    return took, heard
