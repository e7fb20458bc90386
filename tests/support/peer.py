"""A client without an HTTP library: exact bytes in, exact bytes out, and how the connection ended.

Its reader of answers is strict and knows nothing of the code under test, so that it can be a witness of its framing.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

DEADLINE_SECONDS = 10.0
"""Nothing in a test waits longer: a hang is a failure."""


class Ending(Enum):
    """How the other side ended a connection."""

    OPEN = "open"
    FIN = "fin"
    RST = "rst"


@dataclass(frozen=True)
class Response:
    """One answer as read from the wire. `chunks` is `None` unless it came chunked."""

    raw: bytes
    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    chunks: tuple[bytes, ...] | None
    is_complete: bool
    """Its framing says that all of it is there."""
    ending: Ending = field(default=Ending.OPEN, compare=False)

    def header(self, name: str) -> str | None:
        """The value of a header that may be there once, `None` when it is not."""
        values = [value for found, value in self.headers if found == name.encode()]
        assert len(values) <= 1, f"{name} is there {len(values)} times"
        return values[0].decode() if values else None

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def events(self) -> list[bytes]:
        """The body as events of a stream, each with its blank line."""
        parts = self.body.split(b"\n\n")
        assert parts[-1] == b"", f"half an event at the end: {parts[-1]!r}"
        return [part + b"\n\n" for part in parts[:-1]]


class Incomplete(Exception):
    """More bytes are needed: at least so many in all."""

    def __init__(self, at_least: int = 0) -> None:
        super().__init__()
        self.at_least = at_least


def parse(data: bytes, *, at_end: bool = False) -> tuple[Response, int]:
    """Read one answer and say how many bytes it took. Raises `Incomplete`.

    With `at_end` no more comes: what is there is given, as far as it goes.
    """
    head, blank, rest = data.partition(b"\r\n\r\n")
    if not blank:
        raise Incomplete
    lines = head.split(b"\r\n")
    version, status, _ = lines[0].split(b" ", 2)
    assert version == b"HTTP/1.1", lines[0]
    headers = tuple((name.lower(), value) for name, _, value in (line.partition(b": ") for line in lines[1:]))
    names = [name for name, _ in headers]
    start = len(head) + 4
    if (b"transfer-encoding", b"chunked") in headers:
        assert b"content-length" not in names
        chunks, used, done = _chunks(rest)
        if not done and not at_end:
            raise Incomplete
        body = b"".join(chunks)
        return Response(data[: start + used], int(status), headers, body, tuple(chunks), done), start + used
    if b"content-length" in names:
        length = int(dict(headers)[b"content-length"])
        if len(rest) < length and not at_end:
            raise Incomplete(start + length)
        body = rest[:length]
        end = start + len(body)
        return Response(data[:end], int(status), headers, body, None, len(body) == length), end
    if not at_end:
        raise Incomplete
    return Response(data, int(status), headers, rest, None, is_complete=True), len(data)


def _chunks(data: bytes) -> tuple[list[bytes], int, bool]:
    """The whole chunks, the bytes they took, and whether the last one was among them."""
    chunks: list[bytes] = []
    at = 0
    while True:
        end = data.find(b"\r\n", at)
        if end < 0:
            return chunks, at, False
        size = int(data[at:end], 16)
        if size == 0:
            done = data[end : end + 4] == b"\r\n\r\n"
            return chunks, end + 4 if done else at, done
        chunk = data[end + 2 : end + 2 + size]
        if len(data) < end + 4 + size:
            return chunks, at, False
        assert data[end + 2 + size : end + 4 + size] == b"\r\n"
        chunks.append(chunk)
        at = end + 4 + size


class Peer:
    """One connection. Every wait ends within `DEADLINE_SECONDS`, or the test fails."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.buffer = bytearray()
        self.ending = Ending.OPEN

    @classmethod
    async def connect(cls, address: tuple[str, int] | str, *, receive_bytes: int | None = None) -> Peer:
        """Connect to a TCP address or a unix path; `receive_bytes` is the size of the kernel's buffer."""
        sock = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
        sock.setblocking(False)
        if receive_bytes is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        await asyncio.get_running_loop().sock_connect(sock, address)
        return cls(sock)

    async def send(self, data: bytes) -> None:
        async with asyncio.timeout(DEADLINE_SECONDS):
            await asyncio.get_running_loop().sock_sendall(self.socket, data)

    async def more(self, size: int = 65536) -> bool:
        """Read once. Whether anything came."""
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                data = await asyncio.get_running_loop().sock_recv(self.socket, size)
        except ConnectionResetError:
            self.ending = Ending.RST
            return False
        if not data:
            self.ending = Ending.FIN
        self.buffer += data
        return bool(data)

    def widen(self) -> None:
        """Give the kernel room to receive: what was read in drops comes in a stream."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)

    async def until(self, marker: bytes) -> bytes:
        """Read until `marker` has come; gives everything not yet taken."""
        while marker not in self.buffer:
            assert await self.more(), f"{self.ending} before {marker!r}: {self.buffer[-500:]!r}"
        return bytes(self.buffer)

    async def response(self) -> Response:
        """Read one answer to its end, by its framing or by the connection's."""
        while True:
            try:
                found, used = parse(bytes(self.buffer))
            except Incomplete as incomplete:
                if await self.more():
                    while len(self.buffer) < incomplete.at_least and await self.more():
                        pass
                    continue
                found, used = parse(bytes(self.buffer), at_end=True)
            del self.buffer[:used]
            return Response(**{**found.__dict__, "ending": self.ending})

    async def end(self) -> Ending:
        """Read to the end of the connection."""
        while await self.more():
            pass
        return self.ending

    async def last_response(self) -> Response:
        """Read one answer and then the end of the connection; there must be nothing behind the answer."""
        await self.end()
        found, used = parse(bytes(self.buffer), at_end=True)
        trailing = bytes(self.buffer[used:])
        self.buffer.clear()
        if found.is_complete:
            assert not trailing, trailing
        return Response(**{**found.__dict__, "ending": self.ending})

    async def ask(self, request: bytes) -> Response:
        """Send a request, read its answer."""
        await self.send(request)
        return await self.response()

    def close(self) -> None:
        """Leave as a client does that is done: FIN (RST when there is something unread)."""
        self.socket.close()

    def reset(self) -> None:
        """Leave by RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


def request(
    body: bytes | Mapping[str, Any],
    *,
    path: str = "/v1/chat/completions",
    method: str = "POST",
    headers: Iterable[tuple[str, str]] = (("content-type", "application/json"),),
    more_headers: Iterable[tuple[str, str]] = (),
    version: str = "1.1",
    chunk_bytes: int | None = None,
) -> bytes:
    """The bytes of a request. `chunk_bytes` sends the body in chunks of that size."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/{version}", "host: gateway.localhost"]
    lines += [f"{name}: {value}" for name, value in (*headers, *more_headers)]
    if chunk_bytes is None:
        lines.append(f"content-length: {len(raw)}")
    else:
        lines.append("transfer-encoding: chunked")
        pieces = [raw[i : i + chunk_bytes] for i in range(0, len(raw), chunk_bytes)]
        raw = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + raw
