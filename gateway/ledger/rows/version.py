"""Whether a database's schema is the one whose rows are known here."""

from __future__ import annotations

from gateway.ledger.rows.base import Away, Behind
from gateway.store.revisions import NewerSchema, is_newest


def check(revision: str | None) -> None:
    """Raises `Behind` for an older schema than this program's, or none, and `Away` for a newer one."""
    try:
        if not is_newest(revision):
            raise Behind
    except NewerSchema as error:
        raise Away(str(error)) from error
