"""Gets the keys of an issuer: over HTTPS, or from a file."""

from __future__ import annotations

import asyncio
from pathlib import Path

from gateway.auth.jwt.keys import Fetch
from gateway.auth.jwt.keyset import LARGEST, UnusableKeySet

_SECONDS = 10.0


def from_url(url: str) -> Fetch:
    """Gets `url` within 10 s, follows no redirection, and reads no more than a key set may have."""

    async def fetch() -> bytes:
        import httpx  # noqa: PLC0415 - a quarter of a second, only where tokens are taken

        async with (
            asyncio.timeout(_SECONDS),
            httpx.AsyncClient(timeout=_SECONDS, follow_redirects=False) as client,
            client.stream("GET", url) as answer,
        ):
            answer.raise_for_status()
            body = b""
            async for part in answer.aiter_bytes():
                body += part
                if len(body) > LARGEST:
                    raise UnusableKeySet(f"it is larger than {LARGEST} bytes")
        return body

    return fetch


def from_file(path: Path) -> Fetch:
    """Reads `path`."""

    async def fetch() -> bytes:
        return await asyncio.to_thread(path.read_bytes)

    return fetch
