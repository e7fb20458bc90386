"""Records as bytes that can be found again in a damaged file.

A frame is a mark, the payload's length, a checksum over number and payload, the number, and the payload. The checksum is
zlib's CRC-32: with the standard library it takes 0.2 µs for a record, and like CRC-32C it finds every burst of up to
32 bits; CRC-32C would need a package, or a table in Python that is a hundred times slower.
"""

from __future__ import annotations

import struct
from typing import NamedTuple
from zlib import crc32

_HEAD = struct.Struct("<4sIIQ")
HEAD_BYTES = _HEAD.size
_MARK = b"\xc1led"
"""Begins with a byte that neither msgpack nor UTF-8 has."""
MOST_BYTES = 64 * 1024
"""A payload is never longer: what says so is damaged."""
_pack = _HEAD.pack


class Frame(NamedTuple):
    """One frame that was found whole."""

    number: int
    payload: bytes
    end: int
    """Where the next one begins."""


class Scan(NamedTuple):
    """What is in a piece of a file."""

    frames: list[Frame]
    bad: list[tuple[int, int]]
    """From where to where nothing whole was found."""


def frame(number: int, payload: bytes) -> bytes:
    """The bytes of one frame."""
    return _pack(_MARK, len(payload), crc32(payload, (number ^ number >> 32) & 0xFFFFFFFF), number) + payload


def scan(data: bytes, start: int = 0) -> Scan:
    """Every whole frame from `start` on. After damage it goes on at the next mark that begins one."""
    frames: list[Frame] = []
    bad: list[tuple[int, int]] = []
    lost: int | None = None
    while start < len(data):
        found = _at(data, start)
        if found is not None:
            if lost is not None:
                bad.append((lost, start))
                lost = None
            frames.append(found)
            start = found.end
            continue
        if lost is None:
            lost = start
        start = data.find(_MARK, start + 1)
        if start < 0:
            break
    if lost is not None:
        bad.append((lost, len(data)))
    return Scan(frames, bad)


def _at(data: bytes, start: int) -> Frame | None:
    begin = start + HEAD_BYTES
    if len(data) < begin:
        return None
    mark, length, checksum, number = _HEAD.unpack_from(data, start)
    if mark != _MARK or length > MOST_BYTES or len(data) < begin + length:
        return None
    payload = data[begin : begin + length]
    if crc32(payload, (number ^ number >> 32) & 0xFFFFFFFF) != checksum:
        return None
    return Frame(number, payload, begin + length)
