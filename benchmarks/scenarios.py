"""What is measured on each system: a table of scenarios, each giving named figures."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from benchmarks.arrivals import poisson
from benchmarks.client import Client
from benchmarks.loads import Measured, closed_loop, open_loop
from benchmarks.meter import Meter
from benchmarks.requests import chat
from benchmarks.stats import quantile
from benchmarks.systems import Engines, Running

PLAIN_CONNECTIONS = 64
PLAIN_TOKENS = 16
OPEN_RATE = 100.0
ITL_MILLISECONDS = 20.0
STREAM_TOKENS = 75
BURST_STREAMS = 64
BURST_TOKENS = 500
STREAM_BYTES = 1024

Figures = dict[str, float]


@dataclass(frozen=True, slots=True)
class Trial:
    """One scenario on one system, once."""

    system: Running
    engines: Engines
    seconds: float
    """How long to measure."""
    seed: int

    def meter(self) -> Meter:
        """Clocks of who takes part."""
        return Meter(self.system.process, self.engines.processes)


@dataclass(frozen=True, slots=True)
class Scenario:
    """One row of the table. `measure` runs it and gives its figures, whose names begin with the scenario's."""

    name: str
    measure: Callable[[Trial], Awaitable[Figures]]


def _plain(name: str, body_bytes: int) -> Scenario:
    async def measure(trial: Trial) -> Figures:
        request = chat(trial.system.key, body_bytes=body_bytes, tokens=PLAIN_TOKENS, stream=False)
        await asyncio.to_thread(trial.engines.script, ttft_ms=0, itl_ms=0)
        client = Client(trial.system.addresses)
        measured = await closed_loop(
            client, request, trial.meter(), count=PLAIN_CONNECTIONS, seconds=trial.seconds
        )
        client.close()
        return _named(name, {**_shares(measured), **_per_unit(measured, measured.completed)})

    return Scenario(name, measure)


async def _latency(trial: Trial) -> Figures:
    request = chat(trial.system.key, body_bytes=1024, tokens=PLAIN_TOKENS, stream=False)
    await asyncio.to_thread(trial.engines.script, ttft_ms=0, itl_ms=0)
    client = Client(trial.system.addresses)
    arrivals = poisson(OPEN_RATE, trial.seconds, trial.seed)
    measured = await open_loop(client, request, trial.meter(), arrivals)
    client.close()
    times = [sample.ended - sample.started for sample in measured.samples if sample.failure is None]
    figures = _shares(measured)
    for share in (50, 95, 99):
        _put(figures, f"p{share}_ms", quantile(times, share / 100), 1000)
    return _named("latency", figures)


def _streams(name: str, count: int) -> Scenario:
    async def measure(trial: Trial) -> Figures:
        request = chat(trial.system.key, body_bytes=STREAM_BYTES, tokens=STREAM_TOKENS, stream=True)
        await asyncio.to_thread(trial.engines.script, ttft_ms=ITL_MILLISECONDS, itl_ms=ITL_MILLISECONDS)
        client = Client(trial.system.addresses)
        process = trial.system.process
        memory: Figures = {}

        def weigh() -> None:
            if process is not None:
                memory["pss_mb"] = process.pss_bytes() / 1e6

        measured = await closed_loop(
            client,
            request,
            trial.meter(),
            count=count,
            seconds=trial.seconds,
            lasting=STREAM_TOKENS * ITL_MILLISECONDS / 1000,
            midway=weigh,
        )
        client.close()
        firsts = [sample.first - sample.started for sample in measured.samples if sample.first is not None]
        figures = {**_shares(measured), **_per_unit(measured, measured.events), **memory}
        if measured.pieces:
            figures["merged"] = measured.events / measured.pieces
        _put(figures, "ttft_p50_ms", quantile(firsts, 0.5), 1000)
        _put(figures, "ttft_p95_ms", quantile(firsts, 0.95), 1000)
        return _named(name, figures)

    return Scenario(name, measure)


async def _burst(trial: Trial) -> Figures:
    request = chat(trial.system.key, body_bytes=STREAM_BYTES, tokens=BURST_TOKENS, stream=True)
    await asyncio.to_thread(trial.engines.script, ttft_ms=0, itl_ms=0)
    client = Client(trial.system.addresses)
    measured = await closed_loop(client, request, trial.meter(), count=BURST_STREAMS, seconds=trial.seconds)
    client.close()
    return _named("burst", {**_shares(measured), **_per_unit(measured, measured.events)})


SCENARIOS: tuple[Scenario, ...] = (
    _plain("plain_1k", 1024),
    _plain("plain_16k", 16 * 1024),
    Scenario("latency", _latency),
    _streams("streams_100", 100),
    _streams("streams_500", 500),
    Scenario("burst", _burst),
)


def _shares(measured: Measured) -> Figures:
    """What every load tells: cores used by each, and what went wrong."""
    usage = measured.usage
    return {
        "system_cores": usage.system / usage.seconds,
        "engine_cores": usage.engines / usage.seconds,
        "client_cores": usage.client / usage.seconds,
        "other_cores": usage.others / usage.seconds,
        "softirq_cores": usage.softirq / usage.seconds,
        "lost": float(measured.lost.total()),
        "unfinished": float(measured.unfinished),
    }


def _per_unit(measured: Measured, units: int) -> Figures:
    """Rate, and CPU microseconds of the system and of the engines for each request or chunk."""
    usage = measured.usage
    figures = {"rate": units / usage.seconds}
    if units:
        figures["cpu_us"] = usage.system / units * 1e6
        figures["engine_cpu_us"] = usage.engines / units * 1e6
        figures["client_cpu_us"] = usage.client / units * 1e6
    return figures


def _put(figures: Figures, name: str, value: float | None, factor: float) -> None:
    if value is not None:
        figures[name] = value * factor


def _named(scenario: str, figures: Figures) -> Figures:
    return {f"{scenario}.{name}": value for name, value in figures.items()}
