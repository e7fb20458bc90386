"""Rewrites the committed requirement lists: ``python -m engines.environment.relock`` (needs uv and PyPI).

For developers, when an engine version changes. Nothing that runs in production imports this.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from engines.environment.requirements import REQUIREMENTS, RequirementList, parse_pins

_HEADER = """\
# Made by `python -m engines.environment.relock` from {source}. Do not edit.
# For CPython 3.11 to 3.14 on Linux, x86_64 and aarch64.
"""

# Every environment that installs a list is Linux, CPython and one of the two processors (interpreter.py checks),
# so these parts of a marker say nothing, and without them the installer can read the markers itself.
_ALWAYS_TRUE = (
    "implementation_name == 'cpython' and ",
    " and sys_platform == 'linux'",
    " and platform_python_implementation != 'PyPy'",
)
_BOTH_PROCESSORS = "((platform_machine == 'aarch64') or (platform_machine == 'x86_64'))"


def main() -> int:
    """Resolve each input anew and write its list; returns the exit code."""
    uv = shutil.which("uv")
    if uv is None:
        sys.stderr.write("relock needs uv on PATH: pip install uv\n")
        return 1
    for requirements in REQUIREMENTS.values():
        source = requirements.hashed.with_name(f"{requirements.device.value}.pyproject.toml")
        text = _HEADER.format(source=source.name) + simplify(_resolve(uv, source, requirements))
        requirements.hashed.write_text(text, encoding="utf-8")
        sys.stderr.write(f"{requirements.hashed.name}: {len(parse_pins(text))} distributions\n")
    return 0


def simplify(exported: str) -> str:
    """Return the list with markers that say only what its environments do not have in common."""
    return "\n".join(_simplify_line(line) for line in exported.splitlines()) + "\n"


def _simplify_line(line: str) -> str:
    requirement, separator, marker = line.partition(" ; ")
    if not separator:
        return line
    marker, continuation = marker.removesuffix(" \\"), " \\" if marker.endswith(" \\") else ""
    for part in _ALWAYS_TRUE:
        marker = marker.replace(part, "")
    marker = marker.replace(f" and {_BOTH_PROCESSORS}", "").replace(_BOTH_PROCESSORS, "")
    return f"{_exactly(requirement)}{f' ; {marker}' if marker else ''}{continuation}"


def _exactly(requirement: str) -> str:
    """Refuse local versions of PyTorch: ``==2.13.0`` also fits a 2.13.0+cpu in somebody's find-links."""
    return requirement.replace("==", "===") if requirement.startswith("torch==") else requirement


def _resolve(uv: str, source: Path, requirements: RequirementList) -> str:
    """Return uv's export of the resolved input. The operator's find-links stay out: they are not for everybody."""
    environment = {key: value for key, value in os.environ.items() if key != "UV_FIND_LINKS"}
    export = [
        "export",
        "--frozen",
        "--quiet",
        "--no-emit-project",
        "--no-annotate",
        "--no-header",
        "-o",
        "list.txt",
    ]
    if requirements.torch is not None:
        export += ["--no-emit-package", "torch"]
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(source, Path(folder, "pyproject.toml"))
        for arguments in (["lock", "--quiet"], export):
            # uv is found on PATH, the arguments are literals.
            subprocess.run([uv, *arguments], cwd=folder, env=environment, check=True)  # noqa: S603
        return Path(folder, "list.txt").read_text(encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
