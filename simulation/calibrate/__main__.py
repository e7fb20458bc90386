"""`python -m simulation.calibrate`: measure an engine that runs, and say how true its model is."""

from __future__ import annotations

import asyncio
import os
from operator import attrgetter
from pathlib import Path
from statistics import median
from typing import Annotated

import typer

from gateway.fleet.endpoint import parse_address
from simulation.calibrate.asking import Target
from simulation.calibrate.compare import Waits, real, simulated, trace
from simulation.calibrate.measure import speed_of
from simulation.capacity.speed import Speed, profile

Url = Annotated[str, typer.Argument(help="The engine's address: http://HOST:PORT or unix:/path.")]
Model = Annotated[str, typer.Option(help="The model's name at the engine.")]
Sequences = Annotated[int, typer.Option(min=1, help="The engine's --max-num-seqs.")]
Batched = Annotated[int, typer.Option(min=1, help="The engine's --max-num-batched-tokens.")]
Write = Annotated[Path | None, typer.Option(help="File to write the speed to, for `speed:` of a scenario.")]
Compare = Annotated[str | None, typer.Option(help="Do not measure: compare with the speed of this name.")]
Rounds = Annotated[int, typer.Option(min=1, help="How often to compare; the medians are shown.")]
Rate = Annotated[float, typer.Option(min=0.01, help="Requests a second of the comparison.")]
Seconds = Annotated[float, typer.Option(min=1, help="Seconds of each round.")]


def main(
    url: Url,
    model: Model,
    max_num_seqs: Sequences = 16,
    max_num_batched_tokens: Batched = 2048,
    write: Write = None,
    compare: Compare = None,
    rounds: Rounds = 3,
    rate: Rate = 4.0,
    seconds: Seconds = 20.0,
) -> None:
    """Measure the engine at URL, which must do nothing else, and compare it with its model on the same requests.

    The engine's API key is read from ENGINE_API_KEY.
    """
    target = Target(parse_address(url), model, os.environ.get("ENGINE_API_KEY"))
    if compare is None:
        speed = asyncio.run(
            speed_of(
                target,
                max_num_seqs=max_num_seqs,
                max_num_batched_tokens=max_num_batched_tokens,
                say=typer.echo,
            )
        )
        text = "".join(f"{name}: {_plain(value)}\n" for name, value in speed.model_dump().items())
        typer.echo(text, nl=False)
        if write is not None:
            write.write_text(text, encoding="utf-8")
    else:
        speed = profile(compare)
    _compare(target, speed, rounds, rate, seconds)


def _compare(target: Target, speed: Speed, rounds: int, rate: float, seconds: float) -> None:
    long = speed.max_model_len // 4
    pairs = []
    for seed in range(1, rounds + 1):
        lines = trace(seed, rate=rate, seconds=seconds, prompt=(long // 8, long), output=(10, 80))
        pairs.append((asyncio.run(real(target, lines)), simulated(speed, lines)))
        _say(f"round {seed}, {len(lines)} requests", *pairs[-1])
    for name, get in (
        ("first token p95, as callers see it", attrgetter("p95")),
        ("first token, mean in the engine", attrgetter("inside")),
        ("a token, mean in the engine", attrgetter("per_token")),
    ):
        ratios = [get(model) / get(engine) for engine, model in pairs]
        typer.echo(
            f"{name}: simulated / real {median(ratios):.2f}, from {min(ratios):.2f} to {max(ratios):.2f} "
            f"over {rounds} rounds"
        )


def _say(what: str, engine: Waits, model: Waits) -> None:
    typer.echo(f"{what}, ms real / simulated:")
    for name, real_seconds, seconds in (
        ("first token p50", engine.p50, model.p50),
        ("first token p95", engine.p95, model.p95),
        ("first token, in the engine", engine.inside, model.inside),
        ("a token, in the engine", engine.per_token, model.per_token),
    ):
        typer.echo(f"  {name:<28}{real_seconds * 1000:9.2f} /{seconds * 1000:9.2f}")


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


if __name__ == "__main__":
    typer.run(main)
