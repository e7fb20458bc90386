"""Whole pages over the upstream client: bounded, told once, and given up for good."""

from __future__ import annotations

from pathlib import Path

import pytest

from engines.simulated import Options, SimulatedEngine
from gateway.fleet.endpoint import Endpoint, parse_address
from gateway.fleet.load import read_load
from gateway.transport import Http1, Page
from tests.support.gateway import endpoint, until
from tests.support.scripted import ScriptedEngine, stream, whole


async def asked(address: str, *, max_bytes: int = 1 << 20) -> list[bytes | None]:
    told: list[bytes | None] = []
    http = Http1(connect_seconds=1.0)
    Page(http, max_bytes=max_bytes)(place(address), "/metrics", told.append)
    await until(lambda: told)
    await http.close()
    return told


def place(address: str) -> Endpoint:
    return endpoint(address)


async def test_a_real_page_is_read(tmp_path: Path) -> None:
    async with SimulatedEngine(Options(model="m")).serve(uds=tmp_path / "s") as engine:
        (page,) = await asked(engine.address)
    assert page is not None
    load = read_load(page)
    assert load is not None
    assert (load.running, load.steps) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (whole(b"x" * 100), b"x" * 100),
        (stream(b"a", b"b"), b"ab"),
        (whole(b"x" * 101), None),
        (stream(b"x" * 60, b"x" * 60), None),
        (whole(b"x", status=404), None),
        (b"nonsense\r\n\r\n", None),
    ],
)
async def test_what_is_too_long_or_no_page_is_none(answer, expected, tmp_path) -> None:
    async with ScriptedEngine([answer]).serve(tmp_path / "s") as engine:
        assert await asked(engine.address, max_bytes=100) == [expected]
    assert b"GET /metrics HTTP/1.1\r\n" in engine.requests[0]


async def test_nobody_there_is_none(tmp_path) -> None:
    assert parse_address(f"unix:{tmp_path}/nobody")
    assert await asked(f"unix:{tmp_path}/nobody") == [None]


async def test_what_is_given_up_is_told_nothing_and_its_connection_closes(tmp_path) -> None:
    told: list[bytes | None] = []
    http = Http1(connect_seconds=1.0)
    async with ScriptedEngine([b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab"]).serve(
        tmp_path / "s"
    ) as engine:
        asking = Page(http)(place(engine.address), "/metrics", told.append)
        await until(lambda: engine.requests)
        asking.close()
        await until(lambda: not engine.connections)
    await http.close()
    assert told == []
