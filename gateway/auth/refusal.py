"""Why credentials are refused, for operators: callers are told the same, whichever it was."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from gateway.core.errors import StoreUnavailable, Unauthenticated

REFUSED = "The API key is not valid. Create one with: cascadia keys create"
_RETRY_AFTER = 5
ABSENT = "No API key was given. Send it as: Authorization: Bearer KEY"


class Reason(StrEnum):
    """A closed list, fit to be a metric's label."""

    ABSENT = "absent"
    """No credential was sent."""
    UNKNOWN = "unknown"
    """No key of ours: malformed, or its id or secret is not known."""
    REVOKED = "revoked"
    EXPIRED = "expired"
    SUSPENDED = "suspended"
    """Its organisation, team or user is."""
    ADDRESS = "address"
    """Used from outside its networks."""
    TOKEN_MALFORMED = "token_malformed"  # noqa: S105 - a word, no secret
    TOKEN_KEY = "token_key"  # noqa: S105 - a word, no secret
    """Signed with a key that its issuer does not publish."""
    TOKEN_SIGNATURE = "token_signature"  # noqa: S105 - a word, no secret
    TOKEN_CLAIMS = "token_claims"  # noqa: S105 - a word, no secret
    """Issuer, audience, times or what is needed of its caller."""
    STALE = "stale"
    """Perhaps a good key: the directory could not be read for so long that nobody knows."""


class Refusals:
    """Counts refused credentials by reason."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = dict.fromkeys(Reason, 0)

    @property
    def counts(self) -> Mapping[str, int]:
        """How many there were since the start, of each reason."""
        return self._counts

    def because(self, reason: Reason) -> Unauthenticated:
        """The error to raise: one text for all who sent something."""
        self._counts[reason] += 1
        return Unauthenticated(ABSENT if reason is Reason.ABSENT else REFUSED)

    def not_now(self) -> StoreUnavailable:
        """The error to raise where nobody can know: it says that the same key may be taken later."""
        self._counts[Reason.STALE] += 1
        return StoreUnavailable("API keys cannot be checked now. Try again later.", retry_after=_RETRY_AFTER)
