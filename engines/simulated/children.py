"""Processes that do nothing but live in the engine's process group, named as vLLM names its own."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable

_IDLE = "import signal; signal.pause()"


class Children:
    """The children of one engine. `lost` is called when one ends that was not asked to."""

    def __init__(self, loop: asyncio.AbstractEventLoop, lost: Callable[[], None]) -> None:
        self._loop = loop
        self._lost = lost
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    def start(self, count: int) -> None:
        """Start `count` of them. A SIGKILL of this process leaves them behind, as it leaves vLLM's."""
        for number in range(count):
            name = "VLLM::EngineCore" if number == 0 else f"VLLM::Worker_TP{number - 1}"
            process = subprocess.Popen([name, "-I", "-S", "-c", _IDLE], executable=sys.executable)  # noqa: S603 own words
            watched = os.pidfd_open(process.pid)
            self._processes[watched] = process
            self._loop.add_reader(watched, self._ended, watched)

    def _ended(self, watched: int) -> None:
        self._forget(watched)
        self._lost()

    def stop(self) -> None:
        """End them and wait."""
        for watched in list(self._processes):
            self._processes[watched].kill()
            self._forget(watched)

    def _forget(self, watched: int) -> None:
        self._loop.remove_reader(watched)
        os.close(watched)
        self._processes.pop(watched).wait()
