"""Key sets over the network: read whole, within bounds, from where they were said to be."""

import asyncio
from contextlib import asynccontextmanager

import httpx
import pytest

from gateway.auth.jwt.fetching import from_file, from_url
from gateway.auth.jwt.keyset import LARGEST, UnusableKeySet


@asynccontextmanager
async def answering(raw):
    """A server that answers every request with `raw`. Its address."""

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(raw)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/certs"


def answer(body, head=b"200 OK"):
    return b"HTTP/1.1 %b\r\nconnection: close\r\n\r\n%b" % (head, body)


async def test_a_document_is_read_whole():
    async with answering(answer(b"x" * 100_000)) as url:
        assert await from_url(url)() == b"x" * 100_000


@pytest.mark.parametrize("head", [b"302 Found\r\nlocation: http://127.0.0.1:1/", b"404 Not Found", b"500 Oh"])
async def test_anything_but_the_document_is_an_error(head):
    async with answering(answer(b'{"keys": []}', head)) as url:
        with pytest.raises(httpx.HTTPStatusError):
            await from_url(url)()


async def test_no_more_is_read_than_a_key_set_may_have():
    async with answering(answer(b"x" * (LARGEST + 1))) as url:
        with pytest.raises(UnusableKeySet):
            await from_url(url)()


async def test_nobody_there_is_an_error():
    async with answering(b"") as url:
        pass
    with pytest.raises(httpx.TransportError):
        await from_url(url)()


async def test_a_file_is_read_anew_each_time(tmp_path):
    file = tmp_path / "keys.json"
    fetch = from_file(file)
    for content in (b"a", b"b"):
        file.write_bytes(content)
        assert await fetch() == content
