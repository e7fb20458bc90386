"""The wire of Redis and Valkey: the same replies from any pieces, and an end to what is none."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.ratelimit.shared.resp import (
    MAX_DEPTH,
    MAX_ITEMS,
    MAX_REPLY_BYTES,
    ErrorReply,
    Parser,
    ProtocolError,
    Push,
    command,
)

LINES = (
    (b"+OK\r\n", b"OK"),
    (b":-7\r\n", -7),
    (b"$5\r\na\r\nbc\r\n", b"a\r\nbc"),
    (b"$0\r\n\r\n", b""),
    (b"$-1\r\n", None),
    (b"*-1\r\n", None),
    (b"*0\r\n", []),
    (b"*3\r\n:1\r\n*1\r\n$1\r\nx\r\n*0\r\n", [1, [b"x"], []]),
    (b"_\r\n", None),
    (b"#t\r\n", True),
    (b",1.5\r\n", 1.5),
    (b"(12345678901234567890\r\n", 12345678901234567890),
    (b"=7\r\ntxt:abc\r\n", b"abc"),
    (b"%1\r\n+a\r\n:1\r\n", {b"a": 1}),
    (b"~2\r\n:1\r\n:2\r\n", [1, 2]),
    (b"|1\r\n+ttl\r\n:9\r\n:5\r\n", 5),
)


@pytest.mark.parametrize(("wire", "value"), LINES)
def test_every_kind_of_reply_is_read(wire, value):
    assert Parser().feed(wire) == [value]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from(LINES), min_size=1, max_size=12),
    st.lists(st.integers(1, 9), min_size=1, max_size=30),
)
def test_any_split_of_the_bytes_gives_the_same_replies(lines, sizes):
    wire, parser, found, at, turn = b"".join(line for line, _ in lines), Parser(), [], 0, 0
    while at < len(wire):
        size = sizes[turn % len(sizes)]
        found += parser.feed(wire[at : at + size])
        at, turn = at + size, turn + 1
    assert found == [value for _, value in lines]


@settings(max_examples=500, deadline=None)
@given(st.lists(st.binary(max_size=40), max_size=6))
def test_garbage_ends_in_replies_or_in_a_protocol_error_and_nothing_else(pieces):
    parser = Parser()
    with contextlib.suppress(ProtocolError):
        for piece in pieces:
            parser.feed(piece)


@settings(max_examples=300, deadline=None)
@given(st.text("$*:+-%~>|=!#,(_\r\n0123456789ab", max_size=60))
def test_what_looks_like_replies_ends_so_too(text):
    with contextlib.suppress(ProtocolError):
        Parser().feed(text.encode())


def test_an_error_is_a_value_with_its_code():
    (error, blob) = Parser().feed(b"-NOSCRIPT No matching script.\r\n!10\r\nOOM no mem\r\n")
    assert isinstance(error, ErrorReply)
    assert (error.code, str(error)) == ("NOSCRIPT", "NOSCRIPT No matching script.")
    assert isinstance(blob, ErrorReply)
    assert blob.code == "OOM"


def test_what_the_server_says_unasked_is_told_apart():
    (push,) = Parser().feed(b">2\r\n+invalidate\r\n*1\r\n+k\r\n")
    assert isinstance(push, Push)


@pytest.mark.parametrize(
    "wire",
    [
        b"$%d\r\n" % (MAX_REPLY_BYTES + 1),
        b"*%d\r\n" % (MAX_ITEMS + 1),
        b"*1\r\n" * (MAX_DEPTH + 1),
        b"+" + b"x" * 70_000,
        b":" + b"9" * 30 + b"\r\n",
        b"$-2\r\n",
        b"$x\r\n",
        b"HTTP/1.1 400 Bad Request\r\n",
        b"$3\r\nabcd\r\n",
        b"%1\r\n:1\r\n:1\r\n",
        b"#x\r\n",
    ],
)
def test_what_no_server_answers_us_is_refused_before_it_costs_memory(wire):
    with pytest.raises(ProtocolError):
        Parser().feed(wire)


def test_a_command_is_counted_in_bytes():
    assert command(b"SET", "ä".encode(), b"") == b"*3\r\n$3\r\nSET\r\n$2\r\n\xc3\xa4\r\n$0\r\n\r\n"
