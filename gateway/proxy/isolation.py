"""Who shares cached prompts with whom: an engine reuses what it computed for a prompt only under the same salt.

Without salts one caller can learn from the time to a first token what another has asked (CVE-2025-46570). vLLM's
`cache_salt` goes into the hash of each block of its prefix cache. Ours is HMAC-SHA-256 of the share group under a secret of
this gateway's: nobody can guess that of another group, and the engine learns no names.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from enum import StrEnum

from engines.adapters import ADAPTERS
from gateway.core.call import Principal

MAX_GROUPS = 10_000
"""Groups whose salts are remembered; the next is counted from none again."""
_SALT_DIGITS = 32
_BEFORE, _AFTER = b'{"cache_salt":"', b'",'
_UNSALTED = frozenset(name for name, adapter in ADAPTERS.items() if not adapter.takes_cache_salt)


class Share(StrEnum):
    """Among whom prefixes of prompts are shared in an engine's cache."""

    TEAM = "team"
    ORGANISATION = "organisation"
    ALL = "all"


class Isolation:
    """Gives each call its group's salt. `key` gives the secret; it may do I/O, and is asked once, by `prepare`."""

    def __init__(self, share: Share, key: Callable[[], bytes]) -> None:
        self._share = share
        self._new_key = key
        self._key = b""
        self._openings: dict[str, bytes] = {}

    def prepare(self) -> None:
        """Get the secret. Raises what `key` raises. Without it the first call does so."""
        if not self._key and self._share is not Share.ALL:
            self._key = self._new_key()

    def salt(self, principal: Principal | None, engine: str) -> str | None:
        """What `salted` puts into a body for this caller, `None` where it puts nothing."""
        opening = self._salting(principal, engine)
        return None if opening is None else opening[len(_BEFORE) : -len(_AFTER)].decode()

    def salted(self, body: bytes, principal: Principal | None, engine: str) -> bytes:
        """`body`, an encoded JSON object with members, with the salt of the caller's group as its first member.

        As it is where all share with all, and for an engine that knows no salts.
        """
        opening = self._salting(principal, engine)
        return body if opening is None else b"".join((opening, memoryview(body)[1:]))

    def _salting(self, principal: Principal | None, engine: str) -> bytes | None:
        if self._share is Share.ALL or engine in _UNSALTED or principal is None:
            return None
        group = principal.tenant if self._share is Share.TEAM else principal.organisation
        opening = self._openings.get(group)
        return self._opening(group) if opening is None else opening

    def _opening(self, group: str) -> bytes:
        self.prepare()
        if len(self._openings) >= MAX_GROUPS:
            self._openings.clear()
        salt = hmac.new(self._key, f"{self._share}\0{group}".encode(), hashlib.sha256).hexdigest()
        opening = self._openings[group] = _BEFORE + salt[:_SALT_DIGITS].encode() + _AFTER
        return opening
