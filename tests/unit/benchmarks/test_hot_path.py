"""The rig of the hot path, and what it shows of the edge driver without a clock."""

from __future__ import annotations

import gc
import io
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks import hot_path
from benchmarks.requests import chat

CALLS = 100
"""Far more than what others in this process may leave meanwhile: a cycle for each call would be found."""


@pytest.fixture
async def rig(tmp_path: Path) -> hot_path.Rig:
    return hot_path.Rig(tmp_path, io.BytesIO())


@pytest.fixture
def garbage() -> Iterator[Callable[[], int]]:
    """Gives how many objects the collector finds that nothing else would free."""
    gc.collect()
    gc.disable()
    yield gc.collect
    gc.enable()


async def test_a_plain_call_leaves_no_work_for_the_garbage_collector(rig, garbage):
    payload = chat(rig.key, body_bytes=1024, tokens=16, stream=False).payload
    rig.plain(payload, hot_path.answer())
    garbage()
    for _ in range(CALLS):
        rig.plain(payload, hot_path.answer())
        assert rig.wire.last.startswith(b"HTTP/1.1 200 OK\r\n")
    assert garbage() < CALLS


async def test_a_streamed_call_leaves_no_work_for_the_garbage_collector(rig, garbage):
    payload = chat(rig.key, body_bytes=1024, tokens=16, stream=True).payload
    rig.stream(payload, hot_path.events(2))
    garbage()
    for _ in range(CALLS):
        rig.stream(payload, hot_path.events(2))
        assert rig.wire.last.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
    assert garbage() < CALLS


async def test_a_refused_call_leaves_no_work_for_the_garbage_collector(rig, garbage):
    payload = chat("wrong", body_bytes=1024, tokens=16, stream=False).payload
    rig.client.data_received(payload)
    garbage()
    for _ in range(CALLS):
        rig.client.data_received(payload)
        assert rig.wire.last.startswith(b"HTTP/1.1 401 ")
    assert garbage() < CALLS
