"""Who used the CPU in a window of time: the system under test, the engines, the client, and everybody else."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import psutil

from benchmarks.processes import Child, cpu_seconds


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU seconds of each in a window of `seconds`."""

    seconds: float
    system: float
    engines: float
    client: float
    others: float
    """Of processes that are none of ours: what disturbed the measurement. In ticks of 10 ms."""
    softirq: float
    """Of interrupts and softirqs, the network's among them, on all cores: in a process's own CPU time as well, unless
    the kernel accounts for them apart (CONFIG_IRQ_TIME_ACCOUNTING), and then in `others` too. In ticks of 10 ms."""


class Meter:
    """Reads the clocks of the processes and of all that they start.

    `system` is `None` where the client speaks to the engines themselves.
    """

    def __init__(
        self,
        system: Child | None,
        engines: Sequence[Child],
        *,
        own_cpu: Callable[[], float] = time.process_time,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._child = system
        self._system = () if system is None else system.pids()
        self._engines = tuple(pid for engine in engines for pid in engine.pids())
        self._own_cpu = own_cpu
        self._clock = clock
        self._last: dict[int, float] = {}
        self._begun = self._read()

    def begin(self) -> None:
        """Begin a window."""
        self._begun = self._read()

    def end(self) -> Usage:
        """What was used since `begin`."""
        ended = self._read()
        seconds, system, engines, client, machine, softirq = (
            after - before for after, before in zip(ended, self._begun, strict=True)
        )
        system += self._begun_since()
        others = max(0.0, machine - system - engines - client)
        return Usage(seconds, system, engines, client, others, softirq)

    def _begun_since(self) -> float:
        """CPU of the system's processes that were started in the window, all of it."""
        if self._child is None:
            return 0.0
        return sum(map(self._seconds, set(self._child.pids()) - set(self._system)))

    def _read(self) -> tuple[float, ...]:
        busy = psutil.cpu_times()
        return (
            self._clock(),
            sum(map(self._seconds, self._system)),
            sum(map(self._seconds, self._engines)),
            self._own_cpu(),
            busy.user + busy.nice + busy.system + busy.irq + busy.softirq,
            busy.irq + busy.softirq,
        )

    def _seconds(self, pid: int) -> float:
        """Of one process; of one that has ended, what it had when it was last looked at."""
        with suppress(psutil.NoSuchProcess):
            self._last[pid] = cpu_seconds(pid)
        return self._last.get(pid, 0.0)
