"""The gateway with its ASGI driver alone, under uvicorn's HTTP protocol and its guard: `python -m benchmarks.plain_gateway`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from config.load import load
from config.paths import paths_of
from gateway.app import run
from gateway.proxy.guarded import guarded_protocol


def main() -> int:
    """Run until a signal; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    config = load(parser.parse_args().config, os.environ).config
    return run(
        config,
        paths_of(config, os.environ),
        announce=lambda _: None,
        protocol=lambda _, guard: guarded_protocol(guard),
    )


if __name__ == "__main__":
    sys.exit(main())
