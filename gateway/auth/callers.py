"""Answers who calls, from memory: one lookup, one digest and a compare with each of two secrets, for every credential."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hmac import compare_digest
from types import MappingProxyType

from gateway.auth.base import Authenticator
from gateway.auth.directory.contents import Contents
from gateway.auth.directory.records import Key, Owner, Record, Secret
from gateway.auth.grants import Grant, grants_of
from gateway.auth.keytext import LONGEST_CREDENTIAL, TAIL_LENGTH, Mint
from gateway.auth.refusal import Reason, Refusals
from gateway.core.call import Principal

MAX_KNOWN = 10_000
"""Keys that are known again without a digest."""


_NOBODYS = Grant(None, Reason.UNKNOWN)
_NOT_NOW = Grant(None, Reason.STALE)


class Keys:
    """The callers of all keys in a directory. `publish` puts another state of the directory in force, at once."""

    def __init__(self, mint: Mint, refusals: Refusals, *, clock: Callable[[], float]) -> None:
        """`clock` gives Unix seconds: what keys expire by."""
        self._hmac = mint.hmac
        self._filler = mint.random_bytes(32).hex()
        self._refusals = refusals
        self._clock = clock
        self._nobody = Key(id="", name="", secrets=(Secret(digest=self._filler),))
        self._directory = Contents()
        self._by_head: Mapping[bytes, Key] = MappingProxyType({})
        self._known: dict[bytes, Grant] = {}
        self.is_stale: Callable[[], bool] = lambda: False
        """Whether an unknown key may be a good one, since the directory cannot be read."""
        self.is_unread: Callable[[], bool] = lambda: False
        """Whether no more than what is declared is known: whether the rest is suspended, nobody can say."""

    def __repr__(self) -> str:
        return f"<Keys {len(self._by_head)}>"

    def publish(self, directory: Contents) -> None:
        """From now on these keys count, and no others."""
        self._by_head = MappingProxyType(
            {f"gw_{key.env}_{key.id}_".encode(): key for key in directory.keys.values()}
        )
        self._directory = directory
        self._known = {}

    def authenticate(self, credential: bytes | None, address: str | None = None) -> Principal:
        """See `Authenticator.authenticate`.

        A key that was found good is known again without the digest, until the directory changes: a caller who has a
        good key learns nothing from how long that takes.
        """
        if credential is None:
            raise self._refusals.because(Reason.ABSENT)
        grant = self._known.get(credential)
        if grant is None:
            grant = self._find(credential)
        if grant.has_conditions:
            reason = grant.refused(self._clock(), address)
            if reason is not None:
                self._known.pop(credential, None)
                if reason is Reason.STALE or (reason is Reason.UNKNOWN and self.is_stale()):
                    raise self._refusals.not_now()
                raise self._refusals.because(reason)
        principal: Principal = grant.principal  # type: ignore[assignment] # only a refused grant has none
        return principal

    def _find(self, credential: bytes) -> Grant:
        wanted = credential if len(credential) <= LONGEST_CREDENTIAL else b""
        # All before the secret finds the key, so any change to it finds none; any change behind it, the digest.
        key = self._by_head.get(wanted[:-TAIL_LENGTH], self._nobody)
        digest = self._hmac.digest(wanted[-TAIL_LENGTH:]).hex()
        # What a key has no second secret for is random: the compare runs and fails, as it does for a wrong secret.
        second = key.secrets[1].digest if len(key.secrets) > 1 else self._filler
        is_first, is_second = compare_digest(digest, key.secrets[0].digest), compare_digest(digest, second)
        if not (is_first or is_second) or key is self._nobody:
            return _NOBODYS
        if self.is_unread() and not _is_declared(key, self._directory):
            return _NOT_NOW
        grant = grants_of(key, self._directory)[0 if is_first else 1]
        if grant.refusal is None and len(self._known) < MAX_KNOWN:
            self._known[credential] = grant
        return grant


def _is_declared(key: Key, directory: Contents) -> bool:
    """Whether the key and all that it belongs to are the configuration's."""
    team = directory.teams.get(key.team)
    above: list[Record | None] = [
        team,
        None if team is None else directory.organisations.get(team.organisation),
    ]
    if key.user is not None:
        above.append(directory.users.get(key.user))
    return all(each is not None and each.owner is Owner.DECLARED for each in (key, *above))


_: type[Authenticator] = Keys
