"""What a verb changes, written down as what the admin API changes is."""

from __future__ import annotations

import getpass
from contextlib import AbstractContextManager

from config.paths import Paths
from gateway.administration import LOCAL, audit_log
from gateway.audit import deeds


def audited(paths: Paths, action: str, object_: str) -> AbstractContextManager[deeds.LocalDeed]:
    """Write down what happens in this block, also when it fails. Raises `AuditError`, before anything is done."""
    return deeds.audited(audit_log(paths), f"{LOCAL}:{_user()}", action, object_)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user has no name
        return "unknown"
