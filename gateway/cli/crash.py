"""An unexpected end: the traceback goes to a file, its summary to the screen."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping
from pathlib import Path


def report_crash(error: BaseException, environ: Mapping[str, str]) -> str:
    """Write the traceback to a file in the data folder and return the four lines to show."""
    text = "".join(traceback.format_exception(error))
    file = _write(text, environ)
    place = traceback.extract_tb(error.__traceback__)[-1]
    return (
        f"error: a bug in cascadia: {type(error).__name__} in {Path(place.filename).name}:{place.lineno}\n"
        f"  why: {_first_line(error)}\n"
        f"  fix: report it with the file {file}\n"
        f" next: cascadia doctor"
    )


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or ["no message"])[0][:200]


def _write(text: str, environ: Mapping[str, str]) -> Path:
    from config.paths import default_data_dir

    head = f"{time.strftime('%Y-%m-%dT%H:%M:%S%z')} Python {platform.python_version()} {sys.argv[:2]}\n"
    name = f"crash-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.txt"
    configured = environ.get("CASCADIA_DATA_DIR")
    folder = (Path(configured) if configured else default_data_dir(environ)) / "crashes"
    try:
        for each in (folder.parent, folder):
            each.mkdir(mode=0o700, parents=True, exist_ok=True)
        return _private(folder / name, head + text)
    except OSError:
        # The data folder may be the very thing that failed.
        return _private(Path(tempfile.mkdtemp(prefix="cascadia-")) / name, head + text)


def _private(file: Path, text: str) -> Path:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
    return file
