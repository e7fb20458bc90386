"""Answers who calls with a token: a dict lookup for one that was seen, else one signature.

Nothing of a token is believed before its signature is: its claims only choose whose key is to have made it.
"""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64decode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from joserfc import jws
from joserfc.errors import JoseError

from gateway.auth.base import Authenticator
from gateway.auth.directory.contents import Contents
from gateway.auth.jwt.issuer import Issuer
from gateway.auth.jwt.keys import IssuerKeys
from gateway.auth.refusal import Reason, Refusals
from gateway.core.call import Principal

LONGEST_TOKEN = 8192
_LONGEST_KID = 256
MAX_KNOWN = 10_000
"""Tokens that are known again without a signature."""

_PREFIX = b"eyJ"
"""What every JWT begins with: `{"` in base64."""


_TYPES = ("JWT", "jwt", "at+jwt", "application/at+jwt")


class _Refused(Exception):
    """A token is not taken, for this reason."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class _Head:
    algorithm: str
    kid: str | None


class Tokens:
    """The callers of all issuers' tokens; credentials of another form are `otherwise`'s."""

    def __init__(
        self,
        issuers: Sequence[tuple[Issuer, IssuerKeys]],
        otherwise: Authenticator,
        refusals: Refusals,
        *,
        clock: Callable[[], float],
    ) -> None:
        """`clock` gives Unix seconds."""
        self._issuers = tuple(issuers)
        self._otherwise = otherwise
        self._refusals = refusals
        self._clock = clock
        self._directory = Contents()
        self._known: dict[bytes, tuple[Principal, float]] = {}
        self.verified = 0
        """Signatures that were checked."""
        self.is_stale: Callable[[], bool] = lambda: False
        """Whether the team of a token may be there, since the directory cannot be read."""
        self.is_unread: Callable[[], bool] = lambda: False
        """Whether nobody knows yet which teams and users there are, and who is suspended."""
        for _, keys in self._issuers:
            keys.on_change = self._known.clear  # a key that its issuer withdrew takes its tokens along

    def __repr__(self) -> str:
        return f"<Tokens of {len(self._issuers)} issuers, {len(self._known)} known>"

    def publish(self, directory: Contents) -> None:
        """From now on these teams and users count."""
        self._directory = directory
        self._known.clear()

    def authenticate(self, credential: bytes | None, address: str | None = None) -> Principal:
        """See `Authenticator.authenticate`."""
        if credential is None or not credential.startswith(_PREFIX):
            return self._otherwise.authenticate(credential, address)
        digest = hashlib.sha256(credential).digest()
        now = self._clock()
        known = self._known.get(digest)
        if known is not None and now < known[1]:
            return known[0]
        try:
            principal, expires_at = self._verify(credential, now)
        except _Refused as refused:
            raise self._refusals.because(refused.reason) from None
        self._known.pop(digest, None)
        if len(self._known) >= MAX_KNOWN:
            del self._known[next(iter(self._known))]
        self._known[digest] = principal, expires_at
        return principal

    def _verify(self, token: bytes, now: float) -> tuple[Principal, float]:
        if len(token) > LONGEST_TOKEN:
            raise _Refused(Reason.TOKEN_MALFORMED)
        parts = token.split(b".")
        if len(parts) != 3:  # noqa: PLR2004 - head, claims, signature
            raise _Refused(Reason.TOKEN_MALFORMED)
        head, claims = _head(_object(parts[0])), _object(parts[1])
        issuer, keys = self._issuer_of(claims)
        if head.algorithm not in issuer.algorithms:
            raise _Refused(Reason.TOKEN_SIGNATURE)
        key = None if keys.current is None else keys.current.find(head.algorithm, head.kid)
        if key is None:
            keys.ask()
            raise _Refused(Reason.TOKEN_KEY)
        self.verified += 1
        try:
            jws.deserialize_compact(token, key, algorithms=[head.algorithm])
        except (JoseError, ValueError):
            raise _Refused(Reason.TOKEN_SIGNATURE) from None
        # From here on the claims are the issuer's own words.
        expires_at = _check_times(claims, issuer.leeway, now)
        if self.is_unread():
            raise self._refusals.not_now()
        principal = issuer.principal_of(claims, self._directory, expires_at)
        if principal is None:
            if self.is_stale():
                raise self._refusals.not_now()
            raise _Refused(Reason.TOKEN_CLAIMS)
        return principal, expires_at + issuer.leeway

    def _issuer_of(self, claims: Mapping[str, Any]) -> tuple[Issuer, IssuerKeys]:
        named, audience = claims.get("iss"), claims.get("aud")
        audiences = audience if isinstance(audience, list) else [audience]
        for issuer, keys in self._issuers:
            if issuer.issuer == named and issuer.audience in audiences:
                return issuer, keys
        raise _Refused(Reason.TOKEN_CLAIMS)


def _object(part: bytes) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(urlsafe_b64decode(part + b"=" * (-len(part) % 4)))
    except (msgspec.DecodeError, ValueError, RecursionError):
        raise _Refused(Reason.TOKEN_MALFORMED) from None
    if not isinstance(found, dict):
        raise _Refused(Reason.TOKEN_MALFORMED)
    return found


def _head(head: Mapping[str, Any]) -> _Head:
    """What counts of a head. Where it says to find keys (`jku`, `x5u`, `jwk`) is never looked at."""
    algorithm, kid = head.get("alg"), head.get("kid")
    if not isinstance(algorithm, str) or not isinstance(kid, str | None) or len(kid or "") > _LONGEST_KID:
        raise _Refused(Reason.TOKEN_MALFORMED)
    if "crit" in head or "b64" in head or head.get("typ", "JWT") not in _TYPES:
        raise _Refused(Reason.TOKEN_MALFORMED)
    return _Head(algorithm, kid)


def _check_times(claims: Mapping[str, Any], leeway: float, now: float) -> float:
    """When the token ends, as its issuer says. A token without an end is refused, clocks that differ allowed for."""
    expires_at = _time(claims.get("exp"))
    if now >= expires_at + leeway:
        raise _Refused(Reason.EXPIRED)
    for name in ("nbf", "iat"):
        if name in claims and now < _time(claims[name]) - leeway:
            raise _Refused(Reason.TOKEN_CLAIMS)
    return expires_at


def _time(value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or abs(value) >= 1 << 53:
        raise _Refused(Reason.TOKEN_CLAIMS)
    return float(value)


_: type[Authenticator] = Tokens
