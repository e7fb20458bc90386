"""What it costs to know a caller: `python -m benchmarks.identity`.

The least of many repeats, as in `benchmarks.hot_path`. "First" is a credential that was not seen since the directory
changed, "again" is all others.
"""

from __future__ import annotations

import itertools
import json
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import cast

from joserfc import jws
from joserfc.jwk import ECKey, OKPKey, RSAKey

from benchmarks.hot_path import least
from gateway.auth.anonymous import Anonymous
from gateway.auth.callers import Keys
from gateway.auth.directory.contents import EMPTY, Contents
from gateway.auth.directory.records import Key, Kind, Secret
from gateway.auth.jwt.issuer import Issuer
from gateway.auth.jwt.keys import IssuerKeys
from gateway.auth.jwt.tokens import Tokens
from gateway.auth.keys import KeyFile
from gateway.auth.keytext import Mint
from gateway.auth.refusal import Refusals
from gateway.core.errors import Unauthenticated

KEYS = 10_000
TOKENS = 50
_ALGORITHMS = ("RS256", "PS256", "ES256", "Ed25519")


def directory(mint: Mint) -> tuple[Contents, list[bytes]]:
    """Many keys, the last of them for certain networks until some day, and their texts."""
    contents, texts = EMPTY, []
    keys = {}
    for number in range(KEYS):
        made = mint.make()
        scopes = (
            {"networks": ("10.0.0.0/8", "192.0.2.0/24"), "expires_at": time.time() + 3600}
            if number == KEYS - 1
            else {}
        )
        keys[made.id] = Key(
            id=made.id,
            name="k",
            secrets=(Secret(digest=made.digest),),
            version=1,
            **scopes,  # type: ignore[arg-type] # a table of keywords
        )
        texts.append(made.text.encode())
    return contents.with_all(Kind.KEY, dict(keys)), texts


def of_keys(folder: Path) -> Iterator[tuple[str, float]]:
    """Microseconds of API keys."""
    mint = KeyFile(folder / "keys.json", folder / "pepper", time.time, secrets.token_bytes).mint()
    keys = Keys(mint, Refusals(), clock=time.time)
    contents, texts = directory(mint)
    published = least(lambda: keys.publish(contents), per_repeat=1, repeats=20)
    plain, scoped = texts[0], texts[-1]

    def refused(credential: bytes) -> Callable[[], None]:
        def work() -> None:
            with suppress(Unauthenticated):
                keys.authenticate(credential, "10.1.1.1")

        return work

    yield "key, again", _us(lambda: keys.authenticate(plain, "10.1.1.1"))
    yield "key with networks and an end, again", _us(lambda: keys.authenticate(scoped, "10.1.1.1"))
    rounds = itertools.cycle(texts[:-1])

    def first() -> None:
        keys._known.clear()  # noqa: SLF001 - as if it had not been seen
        keys.authenticate(next(rounds), "10.1.1.1")

    yield "key, first", _us(first)
    yield "unknown id, refused", _us(refused(b"gw_local_" + b"0" * 12 + plain[21:]))
    yield "wrong secret, refused", _us(refused(plain[:-8] + b"0" + plain[-7:]))
    yield f"{KEYS} keys put in force", published * 1e6


def of_tokens() -> Iterator[tuple[str, float]]:
    """Microseconds of tokens."""
    for algorithm in _ALGORITHMS:
        key = _key(algorithm)
        issuer = Issuer(
            name="sso",
            issuer="https://a.test",
            audience="b",
            algorithms=frozenset({algorithm}),
            team="default",
        )
        held = IssuerKeys(issuer.issuer, issuer.algorithms, _never)
        held.take(json.dumps({"keys": [key.as_dict(private=False)]}).encode())
        tokens = Tokens([(issuer, held)], Anonymous(), Refusals(), clock=time.time)
        tokens.publish(EMPTY)
        texts = [_token(key, algorithm, number) for number in range(TOKENS)]
        rounds = itertools.cycle(texts)

        def first(tokens: Tokens = tokens, rounds: Iterator[bytes] = rounds) -> None:
            tokens._known.clear()  # noqa: SLF001 - as if it had not been seen
            tokens.authenticate(next(rounds))

        if algorithm == _ALGORITHMS[0]:
            yield (
                f"token of {len(texts[0])} bytes, again",
                _us(lambda tokens=tokens, text=texts[0]: tokens.authenticate(text)),  # type: ignore[misc]
            )
        yield f"token, first, {algorithm}", _us(first, per_repeat=20)


def _key(algorithm: str) -> RSAKey | ECKey | OKPKey:
    if algorithm == "ES256":
        return ECKey.generate_key("P-256", {"kid": "k", "alg": algorithm, "use": "sig"})
    if algorithm == "Ed25519":
        return OKPKey.generate_key("Ed25519", {"kid": "k", "alg": algorithm, "use": "sig"})
    return RSAKey.generate_key(2048, {"kid": "k", "alg": algorithm, "use": "sig"})


def _token(key: RSAKey | ECKey | OKPKey, algorithm: str, number: int) -> bytes:
    claims = {
        "iss": "https://a.test",
        "aud": "b",
        "sub": f"user-{number}",
        "exp": time.time() + 3600,
        "scope": "x" * 200,
    }
    return jws.serialize_compact(
        {"alg": algorithm, "kid": "k", "typ": "JWT"}, json.dumps(claims).encode(), key, algorithms=[algorithm]
    ).encode()


async def _never() -> bytes:
    raise OSError


def _us(work: Callable[[], object], *, per_repeat: int = 200) -> float:
    return least(cast("Callable[[], None]", work), per_repeat=per_repeat, repeats=200) * 1e6


def main() -> None:
    """Print each figure."""
    with tempfile.TemporaryDirectory(prefix="cascadia-bench-") as folder:
        for name, value in itertools.chain(of_keys(Path(folder)), of_tokens()):
            print(f"{name:<40}{value:10.2f} µs")


if __name__ == "__main__":
    main()
