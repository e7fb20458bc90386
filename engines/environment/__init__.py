"""The engine's own Python environment: made once, found again in milliseconds, apart from the gateway's.

Uses the standard library only, so that it runs before anything is installed.
"""

from engines.environment.device import Device, has_nvidia_gpu
from engines.environment.errors import (
    InstallerFailed,
    InstallError,
    NotEnoughDisk,
    UnsupportedMachine,
    UnusableTarget,
)
from engines.environment.installation import install
from engines.environment.record import Environment, describe
from engines.environment.world import World

__all__ = [
    "Device",
    "Environment",
    "InstallError",
    "InstallerFailed",
    "NotEnoughDisk",
    "UnsupportedMachine",
    "UnusableTarget",
    "World",
    "describe",
    "has_nvidia_gpu",
    "install",
]
