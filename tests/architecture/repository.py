"""The repository as a whole, as the tests of this folder read it."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]


@cache
def tracked() -> tuple[Path, ...]:
    """Every file under version control that exists, in an unpacked source archive every file there is."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode == 0:
        found = [ROOT / name for name in listed.stdout.split("\0") if name]
    else:
        found = [path for path in ROOT.rglob("*") if not any(part.startswith(".") for part in path.parts)]
    return tuple(path for path in found if path.is_file())


def text_of(path: Path) -> str | None:
    """The text of a file, `None` for one that holds no text."""
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError:
        return None
