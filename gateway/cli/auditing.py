"""What a verb changes, written down as what the admin API changes is."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from config.paths import Paths
from gateway.administration import LOCAL, audit_log
from gateway.audit import Deed
from gateway.audit.entry import state_hash


class LocalDeed:
    """What a verb says of its deed."""

    def __init__(self) -> None:
        self.object: str | None = None
        self.before: str | None = None
        self.after: str | None = None

    def tell(self, object_: str, *, before: Any = None, after: Any = None) -> None:
        """Say what was changed, and from what to what."""
        self.object, self.before, self.after = object_, state_hash(before), state_hash(after)


@contextmanager
def audited(paths: Paths, action: str) -> Iterator[LocalDeed]:
    """Write down what happens in this block, also when it fails. Raises `AuditError`, before anything when it can."""
    log, deed = audit_log(paths), LocalDeed()
    log.head()
    outcome = "error"
    try:
        yield deed
        outcome = "ok"
    finally:
        log.append(
            Deed(
                actor=f"{LOCAL}:{_user()}",
                role="admin",
                action=action,
                object=deed.object,
                before=deed.before,
                after=deed.after,
                outcome=outcome,
            )
        )


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user has no name
        return "unknown"
