"""One question to a sibling, over the unix socket on which it answers for itself alone."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

SECONDS = 2.0
"""The longest that an answer is waited for."""
MOST_BYTES = 16 * 1024 * 1024


class Answer(NamedTuple):
    """What a process answered: the status, and the JSON of its body."""

    status: int
    content: Any


async def ask(socket: Path, method: str, target: str, body: bytes = b"") -> Answer | None:
    """Its answer; `None` when it gives none in time. `target` is path and query, as they stand in a request line."""
    try:
        async with asyncio.timeout(SECONDS):
            return await _ask(socket, method, target, body)
    except (OSError, TimeoutError, ValueError, msgspec.DecodeError):
        return None


async def _ask(socket: Path, method: str, target: str, body: bytes) -> Answer:
    reader, writer = await asyncio.open_unix_connection(str(socket), limit=MOST_BYTES)
    try:
        lines = [f"{method} {target} HTTP/1.1", "host: sibling", "connection: close"]
        if body:
            lines += ["content-type: application/json"]
        lines += [f"content-length: {len(body)}", "", ""]
        writer.write("\r\n".join(lines).encode("ascii") + body)
        head = await reader.readuntil(b"\r\n\r\n")
        content = await reader.read(MOST_BYTES)
        while more := await reader.read(MOST_BYTES):
            content += more
        return Answer(int(head.split(b" ", 2)[1]), msgspec.json.decode(content))
    except asyncio.IncompleteReadError as error:
        raise ConnectionError("closed before it answered") from error
    finally:
        writer.close()
