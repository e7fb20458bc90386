"""``python -m engines.environment``: makes the engine environment with nothing but the standard library."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from engines.environment.errors import InstallError
from engines.environment.installation import install

_FAILED = 1
_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Install as the command line says; returns the exit code (0 ready, 1 failed, 2 wrong usage)."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        environment = install(
            options.target,
            device=options.device,
            installer=options.installer,
            python=options.python,
            torch_index=options.torch_index,
            say=_say,
        )
    except InstallError as error:
        _say(f"error: {error}")
        return _FAILED
    except KeyboardInterrupt:
        _say("interrupted: the environment is incomplete; the same command starts it afresh")
        return _INTERRUPTED
    _say(
        f"engine: {environment.engine} {environment.version} for {environment.device.value} "
        f"is ready in {options.target}"
    )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m engines.environment",
        description="Install the inference engine (vLLM) into an environment of its own, or find it installed.",
    )
    parser.add_argument("--target", type=Path, required=True, metavar="DIR", help="folder of the environment")
    parser.add_argument(
        "--device",
        choices=("auto", "cpu", "gpu"),
        default="auto",
        help="auto: gpu where an NVIDIA GPU is found",
    )
    parser.add_argument(
        "--installer", choices=("auto", "uv", "pip"), default="auto", help="auto: uv where it is found"
    )
    parser.add_argument(
        "--python", metavar="PYTHON", help="interpreter to build on; default: the running one"
    )
    parser.add_argument(
        "--torch-index",
        metavar="URL",
        help="index for PyTorch on CPUs; default: your own package sources where any are set, else its makers' index",
    )
    return parser


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """Let a termination end the running installer too, as Ctrl-C does."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
