"""A damaged file gives every record that is whole."""

import random

import pytest

from gateway.ledger.frames import frame, scan

PAYLOADS = [f"record {number}".encode() * (number + 1) for number in range(5)]
FRAMES = [frame(number, payload) for number, payload in enumerate(PAYLOADS)]
WHOLE = b"".join(FRAMES)
ENDS = [sum(map(len, FRAMES[: count + 1])) for count in range(len(FRAMES))]


def payloads(data):
    return [each.payload for each in scan(data).frames]


def test_what_was_framed_is_found_with_its_number():
    found = scan(WHOLE)
    assert [(each.number, each.payload, each.end) for each in found.frames] == list(
        zip(range(5), PAYLOADS, ENDS, strict=True)
    )
    assert found.bad == []


@pytest.mark.parametrize("size", range(len(WHOLE)))
def test_a_tail_torn_at_any_byte_costs_the_torn_record_alone(size):
    found = scan(WHOLE[:size])
    whole = sum(end <= size for end in ENDS)
    assert [each.payload for each in found.frames] == PAYLOADS[:whole]
    begin = ENDS[whole - 1] if whole else 0
    assert found.bad == ([(begin, size)] if size > begin else [])


@pytest.mark.parametrize("at", range(len(WHOLE)))
def test_a_flipped_byte_anywhere_costs_its_record_alone(at):
    damaged = bytearray(WHOLE)
    damaged[at] ^= 0x41
    hit = next(index for index, end in enumerate(ENDS) if at < end)
    assert payloads(bytes(damaged)) == PAYLOADS[:hit] + PAYLOADS[hit + 1 :]


def test_noise_is_no_record_and_hides_none():
    rng = random.Random(7)
    for _ in range(200):
        noise = rng.randbytes(rng.randrange(200))
        assert payloads(noise + WHOLE + noise) == PAYLOADS


def test_a_length_beyond_any_record_is_damage_not_a_record_to_wait_for():
    assert payloads(FRAMES[0][:4] + b"\xff" * 4 + FRAMES[0][8:] + FRAMES[1]) == [PAYLOADS[1]]
