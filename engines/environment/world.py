"""What an installation touches outside itself, in one value: tests bring their own and touch nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from engines.environment.device import Device, Probe, has_nvidia_gpu
from engines.environment.interpreter import Machine, this_machine
from engines.environment.progress import Clock
from engines.environment.requirements import REQUIREMENTS, RequirementList
from engines.environment.runner import Run, run_logged
from engines.environment.target import free_bytes


def find_uv(environ: Mapping[str, str] = os.environ) -> str | None:
    """Return a uv that works: on PATH, or beside the Python that runs us; None when there is none."""
    beside = Path(sys.executable).parent / "uv"
    candidates = [shutil.which("uv", path=environ.get("PATH")), str(beside) if beside.is_file() else None]
    return next((uv for uv in candidates if uv is not None and _starts(uv)), None)


def _starts(uv: str) -> bool:
    """Tell whether uv runs: version managers put a file of that name on PATH also where uv is not installed."""
    try:
        # The candidate is a file called uv.
        return subprocess.run([uv, "--version"], capture_output=True, timeout=10, check=False).returncode == 0  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return False


@dataclass(frozen=True, slots=True)
class World:
    """The operating system and the tools, as an installation asks for them."""

    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    machine: Machine = field(default_factory=this_machine)
    has_nvidia_gpu: Probe = has_nvidia_gpu
    find_uv: Callable[[Mapping[str, str]], str | None] = find_uv
    run: Run = run_logged
    free_bytes: Callable[[Path], int] = free_bytes
    clock: Clock = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    requirements: Mapping[Device, RequirementList] = field(default_factory=lambda: REQUIREMENTS)
