"""`python -m gateway.store`: migrate the database whose place is on the standard input, and be gone with its libraries.

Exit code 0 once it is at this program's schema; else 1, with the reason in one line on the standard output.
"""

from __future__ import annotations

import asyncio
import sys

from gateway.core.errors import StoreUnavailable
from gateway.store.database import Database
from gateway.store.place import Place
from gateway.store.wire import from_json


def main() -> int:
    """Do it; returns the exit code."""
    database = Database(from_json(sys.stdin.buffer.read(), Place))

    async def migrate() -> int:
        try:
            async with database.read():
                return 0
        except StoreUnavailable:
            sys.stdout.write(f"{database.trouble}\n")
            return 1
        finally:
            await database.close()

    return asyncio.run(migrate())


if __name__ == "__main__":
    sys.exit(main())
