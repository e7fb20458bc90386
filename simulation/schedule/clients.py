"""Drawing the clients of a schedule: what they ask, and how they misbehave."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from simulation.schedule.values import ClientPlan, Flaw, Leave, Leaving, RequestPlan, Settings
from simulation.schedule.weather import SMALL_BYTES, Weather, draw_cut, weighted

LARGE_BYTES = 270 * 1024
"""Padding that makes a body so large that the gateway reads it aside."""
_LEAVING = ((4, Leaving.FIN), (4, Leaving.RST), (1, Leaving.HALF), (2, Leaving.VANISH))


def draw_clients(
    rng: random.Random, weather: Weather, models: Sequence[str], settings: Settings, end: float
) -> tuple[ClientPlan, ...]:
    """Four to twelve connections; they come in herds or one by one."""
    count = rng.randint(4, 12)
    spread = rng.choice((0.05, 1.0, end))
    start = rng.uniform(0, end - spread)
    return tuple(
        _client(rng, weather, models, settings, round(start + rng.uniform(0, spread), 4))
        for _ in range(count)
    )


def _client(
    rng: random.Random, weather: Weather, models: Sequence[str], settings: Settings, at: float
) -> ClientPlan:
    is_pipelining = weather.strikes(rng, "pipelining")
    requests = tuple(
        _request(rng, weather, models, settings, may_be_1_0=not is_pipelining)
        for _ in range(rng.randint(2, 3) if is_pipelining else rng.choice((1, 1, 2, 4)))
    )
    is_slow_sender = weather.strikes(rng, "slow sender")
    is_stuck = weather.strikes(rng, "back pressure")
    is_slow_reader = is_stuck or weather.strikes(rng, "slow reader")
    pieces = rng.choice((2, 5, 20)) if is_slow_sender else 1
    return ClientPlan(
        at=at,
        wire=replace(weather.wire(rng), capacity_bytes=SMALL_BYTES) if is_stuck else weather.wire(rng),
        requests=requests,
        cut=draw_cut(rng, 4000) if weather.strikes(rng, "client cut") else None,
        is_pipelining=is_pipelining,
        pieces=pieces,
        pause=rng.choice((0.0, 0.01, 0.3)) if is_slow_sender else 0.0,
        stalls_after=rng.randint(1, pieces - 1) if is_slow_sender and rng.random() < 0.2 else None,
        read_pause=rng.choice((0.005, 0.05, 0.5)) if is_slow_reader else 0.0,
        reads_bytes=rng.randint(0, 6000) if is_stuck or (is_slow_reader and rng.random() < 0.3) else None,
        leave=_leave(rng) if weather.strikes(rng, "leaving") else None,
    )


def _leave(rng: random.Random) -> Leave:
    how = weighted(rng, _LEAVING)
    if rng.random() < 0.3:
        return Leave(how, after_bytes=rng.randint(0, 3000))
    return Leave(how, after_seconds=round(rng.choice((0.02, 0.3, 3.0)) * rng.random(), 5))


def _request(
    rng: random.Random, weather: Weather, models: Sequence[str], settings: Settings, *, may_be_1_0: bool
) -> RequestPlan:
    if weather.strikes(rng, "poison"):
        return RequestPlan(model=models[0], stream=True, is_poison=True)
    flaw = rng.choice([flaw for flaw in Flaw if flaw is not Flaw.NONE])
    has_flaw = weather.strikes(rng, "flaw")
    stream = rng.random() < 0.7
    padding = rng.choice((0, 0, 100, 3000))
    if has_flaw and flaw is Flaw.TOO_LARGE:
        padding = settings.max_body_bytes + rng.choice((0, 80 * 1024))
    elif weather.strikes(rng, "large body"):
        padding = LARGE_BYTES
    return RequestPlan(
        model=rng.choice(list(models)),
        stream=stream,
        chat=rng.random() < 0.8,
        usage=rng.random() < 0.3,
        choices=rng.choice((1, 1, 1, 2)),
        padding_bytes=padding,
        chunked=rng.random() < 0.15,
        is_1_0=rng.random() < 0.05 and may_be_1_0,
        expects=rng.random() < 0.05,
        flaw=flaw if has_flaw else Flaw.NONE,
        control=rng.random() < 0.05,
        think=rng.choice((0.0, 0.01, 0.9, 1.1)),
        tier=rng.choice((None, None, "flex", "default", "priority")),
        deadline_ms=rng.choice((50, 700, 3000)) if rng.random() < 0.1 else None,
    )
