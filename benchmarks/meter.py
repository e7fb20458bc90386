"""Who used the CPU in a window of time: the system under test, the engines, the client, and everybody else."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psutil

from benchmarks.processes import Child


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU seconds of each in a window of `seconds`."""

    seconds: float
    system: float
    engines: float
    client: float
    others: float
    """Of processes that are none of ours: what disturbed the measurement. In ticks of 10 ms."""


class Meter:
    """Reads the clocks of the processes. `system` is `None` where the client speaks to the engines themselves."""

    def __init__(
        self,
        system: Child | None,
        engines: Sequence[Child],
        *,
        own_cpu: Callable[[], float] = time.process_time,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._system = system
        self._engines = engines
        self._own_cpu = own_cpu
        self._clock = clock
        self._begun = self._read()

    def begin(self) -> None:
        """Begin a window."""
        self._begun = self._read()

    def end(self) -> Usage:
        """What was used since `begin`."""
        ended = self._read()
        seconds, system, engines, client, machine = (
            after - before for after, before in zip(ended, self._begun, strict=True)
        )
        return Usage(seconds, system, engines, client, max(0.0, machine - system - engines - client))

    def _read(self) -> tuple[float, ...]:
        busy = psutil.cpu_times()
        return (
            self._clock(),
            0.0 if self._system is None else self._system.cpu_seconds(),
            sum(engine.cpu_seconds() for engine in self._engines),
            self._own_cpu(),
            busy.user + busy.nice + busy.system + busy.irq + busy.softirq,
        )
