"""Two ways to load a system: so many exchanges at all times, or arrivals that nothing holds back."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from benchmarks.arrivals import staggered
from benchmarks.client import Client, Sample, now
from benchmarks.meter import Meter, Usage
from benchmarks.requests import Request

WARM_UP_SECONDS = 0.4
GRACE_SECONDS = 10.0
"""How much longer than it should an exchange may take before it counts as unfinished."""
TIMER_SECONDS = 0.001
"""The event loop's timers are this coarse. A request that is sent later than it was due, but no later than this, is
timed from when it was sent; whatever comes on top is the system's and is charged to it (no coordinated omission)."""


@dataclass(slots=True)
class Measured:
    """What one load showed. Rates are those of the window, losses those of the whole load."""

    usage: Usage
    completed: int
    events: int
    pieces: int
    """In how many pieces the events came."""
    samples: list[Sample] = field(default_factory=list)
    lost: Counter[str] = field(default_factory=Counter)
    unfinished: int = 0


class Slots:
    """So many exchanges at all times: each one that ends is followed by the next."""

    def __init__(self, client: Client, request: Request, count: int) -> None:
        self._client = client
        self._request = request
        self._running = 0
        self._is_stopping = False
        self._over = asyncio.Event()
        self._count = count
        self.samples: list[Sample] = []

    @property
    def running(self) -> int:
        """Exchanges that are not over."""
        return self._running

    async def fill(self, over_seconds: float) -> None:
        """Start all slots, spread over so long."""
        begun = now()
        for due in staggered(self._count, over_seconds):
            if due > now() - begun:
                await asyncio.sleep(due - (now() - begun))
            self._running += 1
            self._client.send(self._request, now(), self._done)

    async def empty(self, timeout: float) -> None:
        """Start nothing more and wait for what runs, for at most `timeout` seconds."""
        self._is_stopping = True
        if self._running:
            try:
                async with asyncio.timeout(timeout):
                    await self._over.wait()
            except TimeoutError:
                return

    def _done(self, sample: Sample) -> None:
        self.samples.append(sample)
        if self._is_stopping:
            self._running -= 1
            if not self._running:
                self._over.set()
        elif sample.failure is None:
            self._client.send(self._request, now(), self._done)
        else:  # not at once: a system that refuses is not to be stormed
            asyncio.get_running_loop().call_later(0.05, self._again)

    def _again(self) -> None:
        if self._is_stopping:
            self._running -= 1
            if not self._running:
                self._over.set()
        else:
            self._client.send(self._request, now(), self._done)


async def closed_loop(
    client: Client,
    request: Request,
    meter: Meter,
    *,
    count: int,
    seconds: float,
    lasting: float = 0.0,
    midway: Callable[[], None] = lambda: None,
) -> Measured:
    """Keep `count` exchanges going and measure for `seconds`; each lasts `lasting` seconds by the engine's script.

    `midway` is called when the window is over and everything still runs.
    """
    slots = Slots(client, request, count)
    await client.connect(count)
    await slots.fill(lasting)
    await asyncio.sleep(WARM_UP_SECONDS)
    completed, events, pieces, begun = client.completed, client.events, client.pieces, now()
    meter.begin()
    await asyncio.sleep(seconds)
    usage = meter.end()
    measured = Measured(usage, client.completed - completed, client.events - events, client.pieces - pieces)
    midway()
    await slots.empty(lasting + GRACE_SECONDS)
    measured.samples = [sample for sample in slots.samples if sample.started >= begun]
    measured.lost, measured.unfinished = client.lost, slots.running
    return measured


async def open_loop(client: Client, request: Request, meter: Meter, arrivals: Sequence[float]) -> Measured:
    """Send a request at each of `arrivals`, whatever became of those before."""
    loop = asyncio.get_running_loop()
    await client.connect(16)
    samples: list[Sample] = []
    over = asyncio.Event()

    def done(sample: Sample) -> None:
        samples.append(sample)
        if len(samples) == len(arrivals):
            over.set()

    def fire(due: float) -> None:
        client.send(request, min(now(), due + TIMER_SECONDS), done)

    begun, origin = now() + WARM_UP_SECONDS, loop.time() + WARM_UP_SECONDS
    meter.begin()
    for instant in arrivals:
        loop.call_at(origin + instant, fire, begun + instant)
    try:
        async with asyncio.timeout(WARM_UP_SECONDS + (arrivals[-1] if arrivals else 0.0) + GRACE_SECONDS):
            await over.wait()
    except TimeoutError:
        pass  # told by `unfinished`
    usage = meter.end()
    return Measured(
        usage,
        client.completed,
        client.events,
        client.pieces,
        samples,
        client.lost,
        unfinished=len(arrivals) - len(samples),
    )
