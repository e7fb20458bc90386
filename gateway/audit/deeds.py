"""What is done on the machine itself, written down as what the admin API does is: that it begins, and how it went."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from gateway.audit.entry import BEGUN, Deed, state_hash
from gateway.audit.log import AuditLog


class LocalDeed:
    """What is said of a deed while it is done."""

    def __init__(self, object_: str) -> None:
        self.object = object_
        self.before: str | None = None
        self.after: str | None = None
        self.outcome = "error"
        """How it went, unless all went well."""

    def tell(self, object_: str, *, before: Any = None, after: Any = None) -> None:
        """Say what was changed, and from what to what."""
        self.object, self.before, self.after = object_, state_hash(before), state_hash(after)


@contextmanager
def audited(log: AuditLog, actor: str, action: str, object_: str) -> Iterator[LocalDeed]:
    """Write down that what is in this block begins, and then how it went. Raises `AuditError`, before anything is done.

    An entry `begun` that no other follows with its request id was cut short.
    """
    deed, request_id = LocalDeed(object_), f"local-{secrets.token_hex(12)}"

    def entry(outcome: str) -> Deed:
        return Deed(
            actor=actor,
            role="admin",
            action=action,
            object=deed.object,
            before=deed.before,
            after=deed.after,
            request_id=request_id,
            outcome=outcome,
        )

    log.append(entry(BEGUN))
    try:
        yield deed
        deed.outcome = "ok"
    finally:
        log.append(entry(deed.outcome))
