"""The gateway with its ASGI driver alone, under uvicorn's own HTTP protocol: `python -m benchmarks.plain_gateway`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from config.load import load
from config.paths import paths_of
from gateway.app import run


def main() -> int:
    """Run until a signal; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    config = load(parser.parse_args().config, os.environ).config
    return run(
        config,
        paths_of(config, os.environ),
        announce=lambda _: None,
        protocol=lambda _: "httptools",
    )


if __name__ == "__main__":
    sys.exit(main())
