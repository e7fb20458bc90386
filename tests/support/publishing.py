"""An engine's side of the events of its prefix cache: sockets like vLLM's, fed by the test."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec

from gateway.fleet.cached.zmtp import Wire
from gateway.fleet.endpoint import Published, UnixAddress

END = b"\xff" * 8


def stored(
    hashes: list[int],
    tokens: list[int],
    *,
    parent: int | None = None,
    salt: str | None = None,
    adapter: str | None = None,
    size: int = 4,
    **more: Any,
) -> dict[str, Any]:
    """A `BlockStored` as vLLM writes it."""
    keys: list[list[Any] | None] = []
    for at in range(len(hashes)):
        own: list[Any] = [] if adapter is None else [adapter]
        if salt is not None and parent is None and at == 0:
            own.append(salt)
        keys.append(own or None)
    return {
        "type": "BlockStored",
        "block_hashes": hashes,
        "parent_block_hash": parent,
        "token_ids": tokens,
        "block_size": size,
        "lora_id": None,
        "medium": "GPU",
        "lora_name": adapter,
        "extra_keys": keys,
        "group_idx": 0,
        **more,
    }


def removed(*hashes: int) -> dict[str, Any]:
    return {"type": "BlockRemoved", "block_hashes": list(hashes), "medium": "GPU", "group_idx": 0}


def batch(*events: dict[str, Any], at: float = 1.0) -> bytes:
    """What one step publishes."""
    return msgspec.msgpack.encode([at, list(events), 0])


class Publisher:
    """Publishes on two unix sockets in `folder`. `history` is what it tells again when it is asked."""

    def __init__(self, folder: Path) -> None:
        self.where = Published(
            UnixAddress(str(folder / "e")), UnixAddress(str(folder / "r")), str(folder / "model")
        )
        self.history: list[tuple[int, bytes]] = []
        self.asked: list[int] = []
        self.subscribed = 0
        self._wires: list[Wire] = []
        self._transports: list[asyncio.BaseTransport] = []
        self._servers: list[asyncio.Server] = []

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        for address, kind in ((self.where.events, b"PUB"), (self.where.replay, b"ROUTER")):
            assert isinstance(address, UnixAddress)
            made = _events if kind == b"PUB" else _questions
            self._servers.append(await loop.create_unix_server(lambda made=made: made(self), address.path))

    def publish(self, number: int, payload: bytes, *, kept: bool = True, sent: bool = True) -> None:
        """Publish a batch; not `kept`: it will not be told again; not `sent`: nobody gets it now."""
        if kept:
            self.history.append((number, payload))
        for wire in self._wires if sent else ():
            wire.message(b"", number.to_bytes(8, "big"), payload)

    async def stop(self) -> None:
        for server in self._servers:
            server.close()
        for transport in self._transports:
            transport.close()  # type: ignore[attr-defined]  # of a stream
        self._servers.clear()
        self._transports.clear()
        self._wires.clear()
        self.history.clear()
        await asyncio.sleep(0)


class _Side(asyncio.Protocol):
    def __init__(self, publisher: Publisher, kind: bytes) -> None:
        self.publisher = publisher
        self.wire = Wire(kind, self._write, self.receive)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.publisher._transports.append(transport)
        self.wire.begin()

    def data_received(self, data: bytes) -> None:
        self.wire.feed(data)

    def _write(self, data: bytes) -> None:
        self.transport.write(data)  # type: ignore[attr-defined]  # of a stream

    def receive(self, frames: tuple[bytes, ...]) -> None:
        raise NotImplementedError  # abstract: each of the two sides below has its own


class _Events(_Side):
    def receive(self, frames: tuple[bytes, ...]) -> None:
        assert frames == (b"\x01",)
        self.publisher.subscribed += 1
        self.publisher._wires.append(self.wire)


class _Questions(_Side):
    def receive(self, frames: tuple[bytes, ...]) -> None:
        empty, raw = frames
        assert empty == b""
        first = int.from_bytes(raw, "big")
        self.publisher.asked.append(first)
        for number, payload in self.publisher.history:
            if number >= first:
                self.wire.message(b"", b"", number.to_bytes(8, "big"), payload)
        self.wire.message(b"", b"", END, b"")


def _events(publisher: Publisher) -> _Events:
    return _Events(publisher, b"PUB")


def _questions(publisher: Publisher) -> _Questions:
    return _Questions(publisher, b"ROUTER")
