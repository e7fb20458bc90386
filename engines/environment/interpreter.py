"""The Python that the engine will run on, and whether engine wheels exist for it and for this machine."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from engines.environment.errors import UnsupportedMachine

OLDEST = (3, 11)
NEWEST = (3, 14)
"""The engine's own bounds (`Requires-Python: >=3.11,<3.15`); every listed wheel exists for all of them."""

MACHINES = ("x86_64", "aarch64")
OLDEST_GLIBC = (2, 31)
"""The newest platform tag among the listed wheels is manylinux_2_31 (llguidance)."""

_DESCRIBE = (
    "import json,platform,sys;"
    "print(json.dumps([sys.executable,list(sys.version_info[:3]),platform.python_implementation()]))"
)


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python executable and the two facts that decide which wheels fit it."""

    path: Path
    version: tuple[int, int, int]
    implementation: str

    @property
    def minor(self) -> str:
        """The version without its patch level, which no wheel depends on: ``3.11``."""
        return f"{self.version[0]}.{self.version[1]}"


@dataclass(frozen=True, slots=True)
class Machine:
    """The operating system, processor and C library as wheels see them; ``glibc`` is None on others (musl)."""

    system: str
    processor: str
    glibc: tuple[int, int] | None


def running_interpreter() -> Interpreter:
    """Return the Python that executes this code."""
    version = (sys.version_info.major, sys.version_info.minor, sys.version_info.micro)
    return Interpreter(Path(sys.executable), version, platform.python_implementation())


def ask_interpreter(command: str) -> Interpreter:
    """Return the facts about the Python called ``command`` (a path or a name on PATH).

    Raises UnsupportedMachine when it does not start.
    """
    try:
        # The command is the operator's own --python argument.
        finished = subprocess.run(  # noqa: S603
            [command, "-I", "-c", _DESCRIBE], capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise UnsupportedMachine(
            f"{command} is not a working Python", str(error), "name another one with --python"
        ) from error
    path, version, implementation = json.loads(finished.stdout)
    return Interpreter(Path(path), (version[0], version[1], version[2]), implementation)


def this_machine() -> Machine:
    """Return the facts about the machine that executes this code."""
    return Machine(platform.system(), platform.machine(), _glibc())


def check_supported(interpreter: Interpreter, machine: Machine) -> None:
    """Raise UnsupportedMachine, naming what would do, when no engine wheel fits."""
    if machine.system != "Linux" or machine.processor not in MACHINES:
        raise UnsupportedMachine(
            "the engine cannot be installed here",
            f"its wheels are for Linux on {' or '.join(MACHINES)}; this is {machine.system} on {machine.processor}",
            "run the engine on another machine and point the gateway at it: cascadia up --upstream URL",
        )
    if machine.glibc is None or machine.glibc < OLDEST_GLIBC:
        found = (
            "another C library" if machine.glibc is None else f"glibc {machine.glibc[0]}.{machine.glibc[1]}"
        )
        raise UnsupportedMachine(
            "the engine cannot be installed here",
            f"its wheels need glibc {OLDEST_GLIBC[0]}.{OLDEST_GLIBC[1]} or newer; this system has {found}",
            "use a newer distribution (Debian 11, Ubuntu 20.04, RHEL 9 or later) or the container image",
        )
    if interpreter.implementation != "CPython" or not OLDEST <= interpreter.version[:2] <= NEWEST:
        raise UnsupportedMachine(
            "the engine does not run on this Python",
            f"it needs CPython {_dotted(OLDEST)} to {_dotted(NEWEST)}; "
            f"{interpreter.path} is {interpreter.implementation} {_dotted(interpreter.version)}",
            f"name a fitting one: --python python{_dotted(OLDEST)}",
        )


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def _glibc() -> tuple[int, int] | None:
    """Ask the C library itself: ``platform.libc_ver`` would read the whole executable to guess."""
    try:
        name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
    except (OSError, ValueError):  # musl knows no such name
        return None
    numbers = version.split(".")
    return (int(numbers[0]), int(numbers[1])) if name == "glibc" else None
