"""Compiles the hot path: `python -m gateway.native.build`.

Needs mypy (`requirements/native.txt`), a C compiler and Python's headers.
"""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
import tempfile
from contextlib import chdir
from pathlib import Path

from gateway.native import BUILT, DIGEST, GROUP, MODULES, ROOT, digest, is_current, source_of

_OPTIMISED = "3"


def missing() -> str | None:
    """What the machine lacks; `None` if it can compile."""
    compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()[0]
    if shutil.which(compiler) is None:
        return f"a C compiler ({compiler})"
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        return "the headers of Python (python3-dev)"
    return None


def compile_into(built: Path) -> None:
    """Make the library and replace what is in `built`. Raises `SystemExit` when the sources cannot be compiled."""
    from mypyc.build import mypycify
    from setuptools import setup

    made_from = digest()
    with tempfile.TemporaryDirectory(prefix="cascadia-native-") as name:
        folder = Path(name)
        with chdir(ROOT):  # mypyc names modules by their path from here
            extensions = mypycify(
                [
                    "--config-file=",
                    "--follow-imports=silent",
                    "--ignore-missing-imports",
                    *(str(source_of(module).relative_to(ROOT)) for module in MODULES),
                ],
                opt_level=_OPTIMISED,
                debug_level="0",
                group_name=GROUP,
                target_dir=str(folder / "c"),
            )
        with chdir(folder):  # and setuptools reads the project it finds
            setup(
                name=GROUP,
                ext_modules=extensions,
                script_args=[
                    "--quiet",
                    "build_ext",
                    f"--build-lib={folder / 'lib'}",
                    f"--build-temp={folder / 'objects'}",
                ],
            )
        (folder / "lib" / DIGEST).write_text(made_from)
        shutil.rmtree(built, ignore_errors=True)
        shutil.copytree(folder / "lib", built)


def main() -> int:
    """Compile, unless what is there is current. Without a compiler say so: the gateway runs without, too."""
    if is_current():
        return 0
    lacking = missing()
    if lacking is not None:
        sys.stderr.write(f"The gateway will be interpreted: to compile it takes {lacking}.\n")
        return 0
    sys.stderr.write("compiling the gateway's hot path (about a minute, once)\n")
    compile_into(BUILT)
    return 0


if __name__ == "__main__":
    sys.exit(main())
