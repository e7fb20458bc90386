"""Everything that may take memory, at once and for some time: a process of its own.

    python -m tests.faults.hungry HOST PORT [NAME ...]

It prints how often each attack was begun, as JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from functools import partial

import uvloop

from tests.faults.asking import body
from tests.faults.flood import MODELS
from tests.faults.slow import open_unread

Address = tuple[str, int]
Attack = Callable[[Address], Awaitable[None]]
BLOB = b"a" * 65536
HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
BIG = 8_000_000


def sized(raw: bytes) -> bytes:
    return HEAD + b"content-length: %d\r\n\r\n%b" % (len(raw), raw)


def said(content: str) -> bytes:
    return json.dumps({"model": "model", "messages": [{"role": "user", "content": content}]}).encode()


STEM = b'{"model":"model","messages":[{"role":"user","content":"x"}],'
WHOLE: dict[str, bytes] = {
    "a deep value": sized(STEM + b'"a":' + b"[" * (BIG // 2) + b"]" * (BIG // 2) + b"}"),
    "a deep value without an end": sized(STEM + b'"a":' + b'{"a":' * (BIG // 5)),
    "a million keys": sized(STEM + b",".join(b'"%d":1' % n for n in range(700_000)) + b"}"),
    "a long array": sized(STEM + b'"a":[' + b"1," * (BIG // 2 - 100) + b"1]}"),
    "a long string": sized(said("x" * BIG)),
    "many messages": sized(json.dumps({"model": "model", "messages": [{"role": "user"}] * 400_000}).encode()),
}
"""Bodies of almost the size that is allowed (A22)."""
ENDLESS: dict[str, tuple[bytes, bytes]] = {
    "a header": (HEAD + b"x: ", BLOB),
    "a header's name": (HEAD, BLOB),
    "headers": (HEAD, b"x-a: b\r\n" * 8000),
    "a target": (b"GET /", BLOB),
    "a chunked body": (HEAD + b"transfer-encoding: chunked\r\n\r\n", b"%x\r\n%b\r\n" % (len(BLOB), BLOB)),
    "chunks of one byte": (HEAD + b"transfer-encoding: chunked\r\n\r\n", b"1\r\na\r\n" * 10_000),
    "a chunk extension": (HEAD + b"transfer-encoding: chunked\r\n\r\n1;", BLOB),
    "trailers": (HEAD + b"transfer-encoding: chunked\r\n\r\n0\r\n", b"x-a: b\r\n" * 8000),
    "10 GB": (HEAD + b"content-length: 10737418240\r\n\r\n", BLOB),
    "no HTTP": (b"", BLOB),
    "requests": (b"", b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\n\r\n" * 1000),
}
"""Its beginning, and what is sent behind it for as long as it is taken (A5, A6, A8)."""


@contextlib.asynccontextmanager
async def connected(address: Address) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(*address)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def again_and_again(
    attack: Attack, address: Address, counts: Counter[str], name: str, seconds: float
) -> None:
    """Until the time is over. Whatever the gateway does about it is fine, but for what the test looks at."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(max(0.0, end - time.monotonic())):
                await attack(address)
        counts[name] += 1
        await asyncio.sleep(0.01)


async def send_for_ever(address: Address, begin: bytes, more: bytes) -> None:
    async with connected(address) as (_, writer):
        writer.write(begin)
        while True:
            writer.write(more)
            await writer.drain()


async def send_whole(address: Address, raw: bytes) -> None:
    async with connected(address) as (reader, writer):
        writer.write(raw)
        await writer.drain()
        await reader.read(4096)


async def read_for_ever(address: Address, model: str) -> None:
    raw = sized(json.dumps({**body(tokens=4, stream=True), "model": model}).encode())
    async with connected(address) as (reader, writer):
        writer.write(raw)
        while await reader.read(65536):
            pass


ATTACKS: dict[str, Attack] = {
    **{name: partial(send_for_ever, begin=begin, more=more) for name, (begin, more) in ENDLESS.items()},
    **{name: partial(send_whole, raw=raw) for name, raw in WHOLE.items()},
    **{model: partial(read_for_ever, model=model) for model in MODELS},
}
"""What is done to the gateway, by its name."""


async def attack(
    address: Address, seconds: float, *, each: int, unread: int, names: Collection[str]
) -> Counter[str]:
    """Those of the attacks that are named, `each` times at a time, and `unread` connections that do not read."""
    counts: Counter[str] = Counter()
    sockets = [await open_unread(address) for _ in range(unread)]
    await asyncio.gather(
        *(
            again_and_again(ATTACKS[name], address, counts, name, seconds)
            for name in names
            for _ in range(each)
        )
    )
    for sock in sockets:
        sock.close()
    return counts


def main() -> None:
    """Attack, then say how often."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("names", nargs="*", metavar="NAME", default=list(ATTACKS))
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--each", type=int, default=2)
    parser.add_argument("--unread", type=int, default=30)
    told = parser.parse_args()
    how = {"each": told.each, "unread": told.unread, "names": told.names}
    print(json.dumps(uvloop.run(attack((told.host, told.port), told.seconds, **how))))


if __name__ == "__main__":
    main()
