"""The wire of ZeroMQ: what a real vLLM sent, however the network cuts it, and what must not be believed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.fleet.cached import ROOT, Blocks, extended
from gateway.fleet.cached.events import read_batch
from gateway.fleet.cached.zmtp import MOST_BYTES, Wire, WireError

RECORDED = Path(__file__).parent / "recorded"
GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
READY = b"\x04\x06\x05READY"


def heard(raw: bytes, size: int) -> list[tuple[bytes, ...]]:
    """The messages of `raw`, told in parts of `size` bytes."""
    messages: list[tuple[bytes, ...]] = []
    wire = Wire(b"SUB", lambda _: None, messages.append)
    for at in range(0, len(raw), size):
        wire.feed(raw[at : at + size])
    return messages


@pytest.mark.parametrize("size", [1, 7, 64, 1 << 20])
def test_what_vllm_published_is_the_same_however_it_is_cut(size: int) -> None:
    messages = heard((RECORDED / "events.bin").read_bytes(), size)
    assert [int.from_bytes(number, "big") for _, number, _ in messages] == [0, 1, 2]
    replayed = heard((RECORDED / "replay.bin").read_bytes(), size)
    assert [payload for _, _, _, payload in replayed if payload] == [messages[1][2], messages[2][2]]


def test_the_blocks_of_a_real_prompt_are_found_under_its_salt_alone() -> None:
    blocks = Blocks()
    for _, _, payload in heard((RECORDED / "events.bin").read_bytes(), 4096):
        blocks.take(read_batch(payload))
    tokens = json.loads((RECORDED / "prompt.json").read_text())["tokens"]
    chain, last = [], ROOT
    for at in range(0, len(tokens) // blocks.size * blocks.size, blocks.size):
        last = extended(last, tuple(tokens[at : at + blocks.size]))
        chain.append(last)
    assert (blocks.size, len(chain)) == (128, 4)
    assert blocks.matched((None, "pepper"), chain) == 4
    assert blocks.matched((None, None), chain) == 4
    assert blocks.matched((None, "salt"), chain) == 0
    assert blocks.matched((None, None), [*chain[:3], 1]) == 3


def test_it_answers_a_greeting_with_who_it_is() -> None:
    sent: list[bytes] = []
    opened: list[bool] = []
    wire = Wire(b"SUB", sent.append, lambda _: None, lambda: opened.append(True))
    wire.begin()
    wire.feed(GREETING)
    assert (sent[0], len(sent[0])) == (GREETING, 64)
    assert b"Socket-Type\x00\x00\x00\x03SUB" in sent[1]
    assert not opened
    wire.feed(READY)
    assert opened == [True]


def test_a_message_comes_back_as_it_was_sent() -> None:
    sent: list[bytes] = []
    Wire(b"DEALER", sent.append, lambda _: None).message(b"", b"x" * 300, b"y")
    assert heard(GREETING + READY + sent[0], 5) == [(b"", b"x" * 300, b"y")]


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 400 Bad Request\r\n".ljust(64),
        GREETING[:10] + b"\x01" + GREETING[11:],
        GREETING[:12] + b"PLAIN".ljust(20, b"\0") + GREETING[32:],
        GREETING + b"\x04\x06\x05ERROR",
        GREETING + b"\x00\x01x",
        GREETING + READY + b"\x02" + (MOST_BYTES + 1).to_bytes(8, "big"),
        GREETING + READY + b"\x01\x00" * 40,
    ],
    ids=["http", "old", "login", "refused", "early", "large", "frames"],
)
def test_what_is_no_such_wire_is_refused(raw: bytes) -> None:
    with pytest.raises(WireError):
        heard(raw, len(raw))
