"""The same requests to a real engine and to its model, and how far apart the waits are."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from config.schema import Config
from simulation.calibrate.asking import Heard, Target, spent
from simulation.calibrate.measure import Prompts
from simulation.capacity.run import Load, run
from simulation.capacity.scenario import Arrivals, Engines, Sizes, Workload
from simulation.capacity.speed import Speed
from simulation.capacity.trace import TraceLine
from simulation.capacity.weighted import percentile

PLENTY = 100_000
"""The gateway holds nothing back: the engine alone is compared."""


@dataclass(frozen=True, slots=True)
class Waits:
    """In seconds: what callers saw, and what the engine says itself, on average."""

    p50: float
    """To the first token, as the caller sees it."""
    p95: float
    inside: float
    """To the first token, in the engine: in its queue and for the prompt."""
    per_token: float
    """After the first one, in the engine."""


def trace(
    seed: int, *, rate: float, seconds: float, prompt: tuple[int, int], output: tuple[int, int]
) -> list[TraceLine]:
    """Requests at random moments, of sizes between two bounds."""
    rng = Random(seed)
    lines, at = [], 0.0
    while (at := at + rng.expovariate(rate)) < seconds:
        lines.append(TraceLine(at=at, prompt=rng.randint(*prompt), output=rng.randint(*output)))
    return lines


async def real(target: Target, lines: Sequence[TraceLine]) -> Waits:
    """Ask the engine all of `lines`, each at its moment. Raises as `Target.ask` does."""
    prompts = Prompts()
    loop = asyncio.get_running_loop()

    async def one(begun: float, line: TraceLine, ids: list[int]) -> Heard:
        await asyncio.sleep(begun + line.at - loop.time())
        return await target.ask(ids, line.output or 1)

    before = spent(await target.page("/metrics"))
    begun = loop.time()
    heard = await asyncio.gather(*(one(begun, line, prompts.new(line.prompt or 1)) for line in lines))
    took = spent(await target.page("/metrics")).since(before)
    tokens = sum((line.output or 1) - 1 for line in lines)
    inside = (took.queued + took.prefill) / len(lines)
    return _waits([each.first_token for each in heard], inside, took.decode / max(tokens, 1))


def simulated(speed: Speed, lines: Sequence[TraceLine]) -> Waits:
    """The same of the model."""
    sizes = Sizes(fixed=1)
    workload = Workload(name="trace", arrivals=Arrivals(trace=Path("given")), prompt=sizes, output=sizes)
    load = Load(1, lines[-1].at + 1.0, 0.0, (workload,), {}, {"trace": lines})
    course = run(
        load,
        Engines(speed=speed, max_in_flight=PLENTY),
        Config.model_validate({"auth": {"mode": "anonymous"}}),
    )
    firsts = [asked.first - asked.sent for asked in course.asked if asked.first is not None]
    decode = sum(asked.ended - asked.first for asked in course.asked if asked.first and asked.ended)
    tokens = sum(asked.answered_tokens - 1 for asked in course.asked)
    inside = sum(firsts) / len(firsts) - speed.request_ms / 1000
    return _waits(firsts, inside, decode / max(tokens, 1))


def _waits(firsts: Sequence[float], inside: float, per_token: float) -> Waits:
    return Waits(percentile(firsts, 0.5) or 0.0, percentile(firsts, 0.95) or 0.0, inside, per_token)
