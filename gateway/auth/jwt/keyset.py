"""The public keys of one issuer (JWKS, RFC 7517). Only what can verify a signature gets in: never a shared secret."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import msgspec
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey

LARGEST = 256 * 1024
"""Bytes of a key set."""
_MOST_KEYS = 64
_LEAST_RSA_BITS = 2048

PublicKey = RSAKey | ECKey | OKPKey

_FAMILIES: Mapping[str, tuple[str, str | None, type[RSAKey | ECKey | OKPKey]]] = MappingProxyType(
    {
        **{f"{name}{bits}": ("RSA", None, RSAKey) for name in ("RS", "PS") for bits in (256, 384, 512)},
        "ES256": ("EC", "P-256", ECKey),
        "Ed25519": ("OKP", "Ed25519", OKPKey),
    }
)
"""Algorithm → the type and curve of its keys. All verify in well under a millisecond, so they do on the event loop."""

_PUBLIC = ("kty", "crv", "n", "e", "x", "y")


class UnusableKeySet(Exception):
    """Not a key set. The text says why."""


@dataclass(frozen=True, slots=True)
class KeySet:
    """Keys by algorithm and id."""

    keys: Mapping[tuple[str, str | None], PublicKey]

    def find(self, algorithm: str, kid: str | None) -> PublicKey | None:
        """The key for a token of that head. One that names none gets the only one there is for its algorithm."""
        if kid is not None:
            return self.keys.get((algorithm, kid))
        fitting = [key for (name, _), key in self.keys.items() if name == algorithm]
        return fitting[0] if len(fitting) == 1 else None


def key_set(raw: bytes, allowed: frozenset[str]) -> KeySet:
    """The usable keys of a JWKS document for the `allowed` algorithms: none where it has none. Raises `UnusableKeySet`."""
    if len(raw) > LARGEST:
        raise UnusableKeySet(f"it is larger than {LARGEST} bytes")
    try:
        found = msgspec.json.decode(raw)
        entries = found["keys"]
        if not isinstance(entries, list):
            raise TypeError
    except (msgspec.DecodeError, KeyError, TypeError):
        raise UnusableKeySet("it is not a JSON Web Key Set") from None
    keys: dict[tuple[str, str | None], PublicKey] = {}
    for entry in entries[:_MOST_KEYS]:
        if isinstance(entry, dict):
            keys.update(_usable(entry, allowed))
    return KeySet(MappingProxyType(keys))


def _usable(entry: dict[str, Any], allowed: frozenset[str]) -> dict[tuple[str, str | None], PublicKey]:
    """The key of one entry under each algorithm it may be used with; nothing when it cannot be used."""
    kid, use, operations = entry.get("kid"), entry.get("use", "sig"), entry.get("key_ops", ["verify"])
    if (
        not isinstance(kid, str | None)
        or use != "sig"
        or not isinstance(operations, list)
        or "verify" not in operations
    ):
        return {}
    names = [
        name
        for name in allowed
        if _FAMILIES[name][0] == entry.get("kty")
        and _FAMILIES[name][1] in {None, entry.get("crv")}
        and entry.get("alg", name) == name
    ]
    if not names:
        return {}
    # What is private in it, if anything, is not ours to hold.
    public: dict[str, str | list[str]] = {str(name): entry[name] for name in _PUBLIC if name in entry}
    try:
        key = _FAMILIES[names[0]][2].import_key(public)
        weak = isinstance(key, RSAKey) and key.public_key.key_size < _LEAST_RSA_BITS
    except (JoseError, ValueError, TypeError):
        return {}
    return {} if weak else {(name, kid): key for name in names}
