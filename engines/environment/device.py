"""Which build of the engine this machine wants: the one for NVIDIA GPUs or the one for CPUs."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from enum import Enum
from pathlib import Path

_NVIDIA_SMI_DEADLINE = 10.0
"""Seconds. The first call after boot loads the driver, which takes several."""


class Device(Enum):
    """What the engine computes on."""

    CPU = "cpu"
    GPU = "gpu"


Probe = Callable[[], bool]
"""Answers whether there is an NVIDIA GPU, without importing anything that is not in the standard library."""


def choose_device(wanted: str, has_nvidia_gpu: Probe) -> Device:
    """Return the device named by ``wanted``; ``auto`` asks the probe."""
    if wanted == "auto":
        return Device.GPU if has_nvidia_gpu() else Device.CPU
    return Device(wanted)


def has_nvidia_gpu(
    device_folder: Path = Path("/dev"),
    nvidia_smi: Callable[[], str] | None = None,
) -> bool:
    """Tell whether the NVIDIA driver shows at least one GPU here.

    The driver makes one character device a GPU (``/dev/nvidia0``, …), also inside containers that were given
    one; looking costs nothing. Where there is none, as under WSL, ``nvidia-smi -L`` has the last word.
    """
    if any(node.name[6:].isdigit() for node in device_folder.glob("nvidia[0-9]*")):
        return True
    listing = (nvidia_smi or _list_gpus)()
    return any(line.startswith("GPU ") for line in listing.splitlines())


def _list_gpus() -> str:
    """Return what ``nvidia-smi -L`` prints; nothing when it is missing, fails or hangs: then no GPU is usable."""
    try:
        finished = subprocess.run(
            ["nvidia-smi", "-L"],  # noqa: S607 - the driver installs it on PATH, at no fixed place
            capture_output=True,
            text=True,
            timeout=_NVIDIA_SMI_DEADLINE,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return finished.stdout if finished.returncode == 0 else ""
