"""`cascadia` and `python -m gateway`."""

from __future__ import annotations

import os
import sys

from gateway.cli.edge import run


def main() -> int:
    """Run the command line of this process; returns its exit code."""
    return run(sys.argv[1:], os.environ)


if __name__ == "__main__":
    sys.exit(main())
