"""Everybody may call: for a network that is closed by other means."""

from __future__ import annotations

from gateway.auth.base import Authenticator
from gateway.core.call import ANONYMOUS, Principal


class Anonymous:
    """Takes every request as the one anonymous caller."""

    def authenticate(self, credential: bytes | None, address: str | None = None) -> Principal:  # noqa: ARG002 - the protocol's shape
        """Return the anonymous caller, whatever was sent."""
        return ANONYMOUS


_: type[Authenticator] = Anonymous
