"""The contract of an authenticator."""

from __future__ import annotations

from typing import Protocol

from gateway.core.call import Principal


class Authenticator(Protocol):
    """Turns the credential of one request into its caller."""

    def authenticate(self, credential: bytes | None, address: str | None = None) -> Principal:
        """Return the caller whose credential this is.

        `credential` is the token alone (the part after `Bearer `), `None` when the request carries none. `address` is
        the client's, `None` where it is not known: a credential for certain networks is refused then.
        Does no I/O and does not block: it runs on the event loop for every request.
        Raises `Unauthenticated`, with the same message for unknown, revoked and malformed credentials.
        """
        ...
