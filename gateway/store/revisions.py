"""Which revisions of the schema this program knows, told without the library that applies them."""

from __future__ import annotations

from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent / "migrations"


class NewerSchema(Exception):
    """The database belongs to a newer program. The text says which revision it has and which ones this one knows."""


@cache
def known() -> tuple[str, ...]:
    """All revisions, oldest first: what their files are named after, `v0001_usage.py`."""
    return tuple(sorted(path.name[1:5] for path in (FOLDER / "versions").glob("v[0-9]*_*.py")))


def is_newest(revision: str | None) -> bool:
    """Whether a database at `revision` needs no migration. Raises `NewerSchema`."""
    if revision is not None and revision not in known():
        raise NewerSchema(
            f"the database has the schema {revision}, this program knows {known()[-1]} and older ones: "
            "start the newer program, or restore the backup from before it"
        )
    return revision == known()[-1]
