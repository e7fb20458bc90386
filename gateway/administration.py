"""What a data folder has for its administration: the admin tokens, the audit log, the secrets derived for each purpose."""

from __future__ import annotations

import time
from pathlib import Path

from config.paths import Paths
from gateway.audit import AuditLog
from gateway.audit.deeds import audited
from gateway.auth.root import derive, root_secret
from gateway.auth.tokens import TokenFile, TokensGone

LOCAL = "local"
"""The actor of what is done on the machine itself, by who may write to the data folder."""


def token_file(paths: Paths) -> TokenFile:
    """The admin tokens. The secret is made or read when it is needed, which may raise `SecretError`."""
    return TokenFile(paths.admin_tokens, lambda: derive(root_secret(paths.secret), "admin tokens"), time.time)


def salt_key(paths: Paths) -> bytes:
    """The secret of the salts that keep callers' cached prompts apart. Raises `SecretError`."""
    return derive(root_secret(paths.secret), "cache salt")


def audit_log(paths: Paths) -> AuditLog:
    """The audit log."""
    return AuditLog(paths.audit, time.time)


def first_token(paths: Paths) -> Path | None:
    """Make the first admin token at the first start. Where its text is kept, `None` once its owner has moved it.

    Raises `SecretError`, `TokenFileError` and `AuditError`; `TokensGone` when there were tokens and their file is missing.
    """
    if not paths.admin_tokens.exists():
        if paths.secret.exists():
            raise TokensGone(
                f"{paths.admin_tokens} is missing, and {paths.secret} says that there were admin tokens"
            )
        with audited(audit_log(paths), LOCAL, "tokens.create", "tokens/first"):
            token_file(paths).create_first(paths.first_admin_token)
    return paths.first_admin_token if paths.first_admin_token.exists() else None
