"""Drawing a schedule from a seed.

Each schedule has its own weather: of all that can go wrong only some kinds do, each with its own frequency. Everything
at once would hide most of it, as a client that leaves at once sees nothing of a slow engine.
"""

from __future__ import annotations

import random
from dataclasses import replace

from simulation.schedule.clients import draw_clients
from simulation.schedule.engines import draw_engines, draw_happenings
from simulation.schedule.values import Happening, Schedule, Settings, What
from simulation.schedule.weather import Weather
from simulation.world.chance import Chance

BUSY_SECONDS = 10.0
"""Clients come and things break within this time."""
CALM = 16.0
"""From here on nothing breaks."""


def draw(seed: int) -> Schedule:
    """The schedule of `seed`."""
    chance = Chance(seed)
    weather = Weather(chance.of("weather"))
    engines = draw_engines(chance.of("engines"), weather)
    happenings = draw_happenings(chance.of("happenings"), weather, engines, BUSY_SECONDS)
    rng = chance.of("settings")
    route = chance.of("routes").choice(("none", "none", "fallback", "split"))
    settings = replace(_settings(rng, weather), route=route)
    if weather.is_on("drain") and rng.random() < 0.6:
        drained = _moment(rng, BUSY_SECONDS)
        happenings.append(Happening(drained, What.DRAIN))
        if rng.random() < 0.3:
            happenings.append(Happening(drained + rng.choice((0.0, 0.2)), What.HURRY))
    if weather.strikes(rng, "memory"):
        full = _moment(rng, BUSY_SECONDS)
        happenings.append(Happening(full, What.IS_FULL))
        happenings.append(Happening(full + rng.choice((0.2, 2.0)), What.HAS_ROOM))
    models = sorted({public for engine in engines for public, _ in engine.models})
    return Schedule(
        seed=seed,
        settings=settings,
        engines=engines,
        clients=draw_clients(chance.of("clients"), weather, models, settings, BUSY_SECONDS),
        happenings=tuple(sorted(happenings, key=lambda each: each.at)),
        calm=CALM,
    )


def _settings(rng: random.Random, weather: Weather) -> Settings:
    return Settings(
        connect=_seconds(rng, 0.5, 1.0),
        queue=_seconds(rng, 0.5, 5.0),
        first_token=_seconds(rng, 2.0, 6.0),
        stall=_seconds(rng, 1.5, 4.0),
        total=_seconds(rng, 5.0, 15.0),
        drain_delay=rng.choice((0.0, 0.3, 1.0)),
        drain=_seconds(rng, 0.2, 3.0),
        max_queue=rng.choice((0, 1, 3, 50)),
        max_body_bytes=(400 if weather.is_on("large body") else 16) * 1024,
        policy=rng.choice(("scored", "least_requests", "least_tokens", "round_robin", "session", "prefix")),
        ordering=rng.choice(("fair", "fair", "fifo")),
        limit=rng.choice(("fixed", "adaptive")),
        when_empty=rng.choice(("refuse", "wait")),
        driver="asgi" if rng.random() < (0.5 if weather.is_on("back pressure") else 0.15) else "edge",
    )


def _seconds(rng: random.Random, least: float, most: float) -> float:
    return round(rng.uniform(least, most), 2)


def _moment(rng: random.Random, end: float) -> float:
    return round(rng.uniform(0.5, end), 3)
