"""Child processes and those they start: counted together, stopped together."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from benchmarks import processes
from benchmarks.meter import Meter
from benchmarks.processes import Child

BUSY_GRANDCHILD = """
import signal, subprocess, sys, time
busy = "import time\\nwhile time.monotonic() < %r: pass" % (time.monotonic() + 30)  # should it be left behind
subprocess.Popen([sys.executable, "-c", busy])
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("up", flush=True)
while True: time.sleep(1)
"""


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Child]:
    monkeypatch.setattr(processes, "STOP_SECONDS", 0.2)
    made = Child([sys.executable, "-c", BUSY_GRANDCHILD], None, {}, tmp_path / "log")
    try:
        made.wait_until(lambda: None if made.said() == "up\n" else "silent")
        yield made
    finally:
        made.stop()


def test_cpu_and_memory_are_those_of_the_whole_family(child):
    own, grandchild = child.pids()
    assert own == child.pid
    meter = Meter(child, [])
    meter.begin()
    deadline = time.perf_counter() + 20
    while processes.cpu_seconds(grandchild) < 0.2 and time.perf_counter() < deadline:
        time.sleep(0.01)
    usage = meter.end()
    assert usage.system >= processes.cpu_seconds(grandchild) / 2 > processes.cpu_seconds(own)
    assert child.pss_bytes() > psutil.Process(own).memory_full_info().pss


def test_what_does_not_end_is_ended_with_all_it_started(child):
    _, grandchild = child.pids()
    child.stop()
    deadline = time.perf_counter() + 10
    while psutil.pid_exists(grandchild) and time.perf_counter() < deadline:
        if psutil.Process(grandchild).status() == psutil.STATUS_ZOMBIE:
            break
        time.sleep(0.01)
    assert not psutil.pid_exists(grandchild) or (psutil.Process(grandchild).status() == psutil.STATUS_ZOMBIE)
