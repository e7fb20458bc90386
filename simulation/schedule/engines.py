"""Drawing the engines of a schedule, and what happens to them."""

from __future__ import annotations

import random
from collections.abc import Sequence

from simulation.schedule.values import Answering, Behaviour, EnginePlan, Happening, What
from simulation.schedule.weather import Weather, draw_cut
from simulation.world.wire import How

MODELS = ("alpha", "beta")
STATUSES = (400, 401, 404, 413, 422, 429, 500, 502, 503, 503, 503)
"""Queue full (503) is what an engine that works well says most often."""
BEHAVIOURS = 12
"""Different answers of one engine; the next request after the last gets the first again."""
_GAPS = (0.0, 0.001, 0.02, 0.1)
_KINDS = {
    "status": Answering.STATUS,
    "error event": Answering.ERROR_EVENT,
    "garbage": Answering.GARBAGE,
    "no http": Answering.NO_HTTP,
    "early end": Answering.EARLY_END,
    "unfinished": Answering.UNFINISHED,
    "close": Answering.CLOSE,
    "hang": Answering.HANG,
    "death": Answering.DEATH,
}


def draw_engines(rng: random.Random, weather: Weather) -> tuple[EnginePlan, ...]:
    """One to three engines; each model is served by one at least."""
    count = rng.choice((1, 2, 2, 3))
    served = [
        list(MODELS) if index == 0 else rng.sample(MODELS, rng.choice((1, 1, 2))) for index in range(count)
    ]
    return tuple(_engine(rng, weather, index, models) for index, models in enumerate(served))


def _engine(rng: random.Random, weather: Weather, index: int, models: Sequence[str]) -> EnginePlan:
    is_unix = rng.random() < 0.5
    keep_alive = rng.choice((0.3, 1.0, 5.0))
    idle = keep_alive * (rng.choice((0.9, 1.0, 1.5)) if weather.is_on("stale") else 0.7)
    return EnginePlan(
        id=f"engine-{index}",
        address=f"unix:/engines/{index}-0.sock" if is_unix else f"10.0.0.{index + 1}:8000",
        models=tuple((model, rng.choice((model, f"{model}-weights"))) for model in models),
        max_in_flight=rng.choice((1, 2, 3, 8)),
        idle_seconds=round(idle, 2),
        keep_alive=keep_alive,
        wire=weather.wire(rng),
        cuts=tuple((n, draw_cut(rng, 3000)) for n in range(12) if weather.strikes(rng, "upstream cut")),
        behaviours=tuple(_behaviour(rng, weather) for _ in range(BEHAVIOURS)),
    )


def _behaviour(rng: random.Random, weather: Weather) -> Behaviour:
    kind = weather.pick(rng, *_KINDS)
    is_slow = weather.strikes(rng, "slow engine")
    is_fat = weather.strikes(rng, "fat answer") or weather.strikes(rng, "back pressure")
    tokens = rng.choice((1, 2, 5, 12))
    return Behaviour(
        answering=Answering.WELL if kind is None else _KINDS[kind],
        at=rng.choice((-1, rng.randint(0, 3), rng.randint(0, 3 + tokens))),
        delay=round(rng.uniform(0.5, 4.0), 3) if is_slow else rng.choice((0.0, 0.005, 0.05, 0.3)),
        gap=round(rng.uniform(0.2, 2.0), 3) if is_slow else rng.choice(_GAPS),
        tokens=tokens,
        piece_bytes=rng.choice((2000, 9000)) if is_fat else rng.choice((0, 8, 60)),
        burst=rng.choice((1, 1, 2, 50)),
        status=rng.choice(STATUSES),
        how=rng.choice((How.FIN, How.RST)),
        variant=rng.randrange(64),
        with_comments=rng.random() < 0.1,
        with_interim=rng.random() < 0.05,
        with_more=rng.random() < 0.1,
        closes=rng.random() < 0.1,
    )


def draw_happenings(
    rng: random.Random, weather: Weather, engines: Sequence[EnginePlan], end: float
) -> list[Happening]:
    """What happens to the engines, until `end`."""
    found: list[Happening] = []
    for engine in engines:
        if weather.strikes(rng, "restart"):
            found += _death(rng, engine.id, end)
        if weather.strikes(rng, "vanishing"):
            found += _spell(rng, engine.id, What.VANISHES, What.REAPPEARS, end)
        if weather.strikes(rng, "freeze"):
            found += _spell(rng, engine.id, What.FREEZES, What.THAWS, end)
        if weather.is_on("publishing"):
            found += _publications(rng, engine.id, end)
        if weather.is_on("stale"):
            found += [Happening(_at(rng, 0, end), What.CLOSES_IDLE, engine.id) for _ in range(4)]
        if weather.is_on("idle talk"):
            found += [Happening(_at(rng, 0, end), What.TALKS_IDLE, engine.id) for _ in range(4)]
    return found


def _death(rng: random.Random, engine: str, end: float) -> list[Happening]:
    """An engine dies, is seen so some time later or never, and comes back."""
    died = _at(rng, 0, end)
    found = [Happening(died, What.DIES, engine, rng.choice((How.FIN, How.RST)))]
    if rng.random() < 0.7:
        found.append(Happening(died + _at(rng, 0, 2), rng.choice((What.IS_DOWN, What.IS_GONE)), engine))
    returned = died + _at(rng, 0.2, 4)
    found.append(Happening(returned, What.RETURNS, engine))
    if rng.random() < 0.5:
        found.append(Happening(returned, What.IS_STARTING, engine))
    found.append(Happening(returned + _at(rng, 0, 1), What.IS_READY, engine))
    return found


def _spell(rng: random.Random, engine: str, begins: What, ends: What, end: float) -> list[Happening]:
    at = _at(rng, 0, end)
    return [Happening(at, begins, engine), Happening(at + _at(rng, 0.1, 5), ends, engine)]


def _publications(rng: random.Random, engine: str, end: float) -> list[Happening]:
    """Discovery changes its mind, with or without a reason."""
    found = []
    for _ in range(rng.randint(1, 4)):
        at = _at(rng, 0, end)
        seen = rng.choice((What.IS_DOWN, What.IS_STARTING, What.IS_DRAINING, What.IS_GONE, What.IS_READY))
        found += [Happening(at, seen, engine), Happening(at + _at(rng, 0, 1.5), What.IS_READY, engine)]
    return found


def _at(rng: random.Random, least: float, most: float) -> float:
    return round(rng.uniform(least, most), 3)
