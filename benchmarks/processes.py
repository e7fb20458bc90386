"""Child processes: started on their core, waited for, measured with those they start themselves, stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import httpx
import psutil

START_SECONDS = 30.0
STOP_SECONDS = 15.0
_CPUCLOCK_SCHED = 2


class StartError(Exception):
    """A process did not come up; the text has the end of what it said."""


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, all its threads, in seconds; to the nanosecond where the kernel tells it.

    The clock id is that of clock_getcpuclockid(3), which Python does not wrap; /proc/PID/stat counts in 10 ms.
    """
    try:
        return time.clock_gettime((~pid << 3) | _CPUCLOCK_SCHED)
    except OSError:
        times = psutil.Process(pid).cpu_times()
        return float(times.user + times.system)


class Child:
    """One process of the benchmark's own, with its descendants. Its owner calls `stop`."""

    def __init__(
        self,
        command: Sequence[str],
        cores: frozenset[int] | None,
        environment: Mapping[str, str],
        log: Path,
    ) -> None:
        """Start it, on `cores` if they are given; what it says goes to the file `log`."""
        self._log = log
        self._command = " ".join(command)
        self.started = time.perf_counter()
        former = os.sched_getaffinity(0)
        if cores is not None:
            os.sched_setaffinity(0, cores)  # a child inherits it, with all its threads
        try:
            with log.open("wb") as output:
                self._process = subprocess.Popen(
                    command,
                    env={**os.environ, **environment},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        finally:
            os.sched_setaffinity(0, former)

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def pids(self) -> tuple[int, ...]:
        """Its process id and those of all it has started. Reads the whole process table: not within a window."""
        return (self.pid, *(child.pid for child in psutil.Process(self.pid).children(recursive=True)))

    def pss_bytes(self) -> int:
        """Proportional set size: memory, with what is shared divided among those who share it."""
        return sum(int(psutil.Process(pid).memory_full_info().pss) for pid in self.pids())

    def wait_until(self, missing: Callable[[], str | None]) -> float:
        """Poll until nothing is `missing`; returns the seconds since the start. Raises `StartError`."""
        while what := missing():
            if self._process.poll() is not None:
                raise StartError(f"{self._command} ended with {self._process.returncode}\n{self.said()}")
            if time.perf_counter() - self.started > START_SECONDS:
                raise StartError(
                    f"{self._command} is not up after {START_SECONDS:.0f} s: {what}\n{self.said()}"
                )
            time.sleep(0.005)
        return time.perf_counter() - self.started

    def said(self) -> str:
        """The end of its output."""
        return self._log.read_bytes()[-2000:].decode(errors="replace")

    def stop(self) -> None:
        """Ask it to end, then make it."""
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self.pid, signal.SIGKILL)  # its own session's: nothing it started is left behind
            self._process.wait()


def unanswered(request: Callable[[], httpx.Response]) -> str | None:
    """What a request got instead of an answer with status 200; `None` when it got one."""
    try:
        response = request()
    except httpx.TransportError as error:
        return repr(error)
    return None if response.status_code == 200 else f"{response.status_code} {response.text}"
