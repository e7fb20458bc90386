"""An identity provider of a test's own: keys that rotate, tokens good and bad, and a way to be away."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

from joserfc import jws
from joserfc.jwk import ECKey, OKPKey, RSAKey

ISSUER = "https://login.test/realms/lab"
AUDIENCE = "cascadia"


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class TestIssuer:
    """Signs with its newest key and publishes all that it has not withdrawn."""

    __test__ = False

    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now
        self.keys: dict[str, RSAKey | ECKey | OKPKey] = {}
        self.is_away = False
        self.fetched = 0
        self.rotate("k1")

    def rotate(self, kid: str, algorithm: str = "RS256") -> None:
        """Sign with a new key from now on; the former ones stay published."""
        kind, size = {"ES256": (ECKey, "P-256"), "Ed25519": (OKPKey, "Ed25519")}.get(
            algorithm, (RSAKey, 2048)
        )
        self.keys[kid] = kind.generate_key(size, {"kid": kid, "alg": algorithm, "use": "sig"})  # type: ignore[arg-type]

    def document(self) -> bytes:
        """Its key set."""
        return json.dumps({"keys": [key.as_dict(private=False) for key in self.keys.values()]}).encode()

    async def fetch(self) -> bytes:
        """The same over the network, when it is there."""
        self.fetched += 1
        if self.is_away:
            raise OSError("connection refused")
        return self.document()

    def claims(self, **more: Any) -> dict[str, Any]:
        """What a good token says; `None` leaves a claim out."""
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": "ada",
            "iat": self.now,
            "exp": self.now + 600,
            **more,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def token(self, head: dict[str, Any] | None = None, **more: Any) -> bytes:
        """A signed token; `head` changes its head, `None` leaves a part of it out."""
        kid, key = list(self.keys.items())[-1]
        algorithm = str(key.get("alg"))
        wanted = {"typ": "JWT", "alg": algorithm, "kid": kid, **(head or {})}
        wanted = {name: value for name, value in wanted.items() if value is not None}
        payload = json.dumps(self.claims(**more)).encode()
        return jws.serialize_compact(wanted, payload, key, algorithms=[algorithm]).encode()

    def unsigned(self, algorithm: str = "none", **more: Any) -> bytes:
        """A token without a signature."""
        return self._parts({"alg": algorithm, "typ": "JWT", "kid": "k1"}, self.claims(**more)) + b"."

    def signed_with_the_public_key(self, form: str) -> bytes:
        """The confusion of RFC 8725, 2.1: the public key taken for a shared secret."""
        key = self.keys["k1"]
        secret = (
            key.as_pem(private=False) if form == "pem" else json.dumps(key.as_dict(private=False)).encode()
        )
        body = self._parts({"alg": "HS256", "typ": "JWT", "kid": "k1"}, self.claims())
        return body + b"." + _b64(hmac.digest(secret, body, hashlib.sha256)).encode()

    def _parts(self, head: dict[str, Any], claims: dict[str, Any]) -> bytes:
        return f"{_b64(json.dumps(head).encode())}.{_b64(json.dumps(claims).encode())}".encode()
