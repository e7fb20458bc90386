"""The scanner: the same output however the bytes are split, and nothing released that should not be."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.core.outcome import Usage
from gateway.openai import errors, sse
from gateway.openai.sse import Scanner, Verdict

DONE = b"data: [DONE]\n\n"


def event(value: Any, *, end: bytes = b"\n\n") -> bytes:
    return b"data: " + json.dumps(value, ensure_ascii=False).encode() + end


def choice(text: str = "", *, finish: str | None = None, index: int = 0, **more: Any) -> dict[str, Any]:
    return {"choices": [{"index": index, "delta": {"content": text}, "finish_reason": finish}], **more}


ROLE = event({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]})
TEXT = event(choice("é\U0001f680"))
FINISH = event(choice(finish="stop"))
USAGE = event({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}})
WINDOWS = TEXT.replace(b"\n", b"\r\n")
COMMENT = b": keep-alive\n\n"
GOOD = ROLE + TEXT + FINISH + DONE


def run(*reads: bytes, strip_usage: bool = False) -> tuple[bytes, Scanner]:
    scanner = Scanner(strip_usage=strip_usage)
    return b"".join([scanner.feed(read) for read in reads]), scanner


def facts(scanner: Scanner) -> tuple[object, ...]:
    return scanner.verdict, scanner.error, scanner.has_content, scanner.usage


PIECES = [
    ROLE,
    TEXT,
    FINISH,
    USAGE,
    WINDOWS,
    COMMENT,
    DONE,
    event(choice("x", index=1)),
    event(choice(finish="length", index=1)),
    event({"error": {"message": "m", "code": 500}}),
    event(choice("x", error=None)),
    event(choice(usage={"prompt_tokens": 1, "completion_tokens": 1})),
    b"\n\n",
    b"\r\n\r\n",
    b"data: {\n\n",
    b"data: [1]\n\n",
    b'data: {"choices":\ndata: []}\n\n',
    b"event: message\nid: 7\nretry: 1\n" + TEXT,
    b'data: {"x":"\xff"}\n\n',
    b'data:{"choices":[]}\n\n',
    b"data: [DONE]\r\n\r\n",
    b"data: [DONE]",
    b"dat",
    b"\n",
]


@settings(max_examples=150, deadline=None)
@given(
    pieces=st.lists(st.sampled_from(PIECES), max_size=8),
    cuts=st.lists(st.integers(0, 2000)),
    strip=st.booleans(),
)
@example(pieces=[WINDOWS, b"\n\n"], cuts=[len(WINDOWS)], strip=False)
@example(pieces=[WINDOWS, TEXT], cuts=[len(WINDOWS)], strip=False)
def test_any_split_of_the_bytes_gives_the_same_output(pieces, cuts, strip) -> None:
    data = b"".join(pieces)
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    reads = [data[a:b] for a, b in itertools.pairwise(places)]
    whole_out, whole = run(data, strip_usage=strip)
    split_out, split = run(*reads, strip_usage=strip)
    assert split_out == whole_out
    assert facts(split) == facts(whole)
    bytes_out, byte_by_byte = run(*(data[i : i + 1] for i in range(len(data))), strip_usage=strip)
    assert bytes_out == whole_out
    assert facts(byte_by_byte) == facts(whole)


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=300))
def test_no_bytes_make_it_raise(data) -> None:
    run(data)
    run(b"data: " + data + b"\n\n")
    run(b"data: {" + data + b"}\n\n")


@settings(max_examples=100, deadline=None)
@given(
    texts=st.lists(st.text(min_size=1), min_size=1, max_size=5), end=st.sampled_from([b"\n\n", b"\r\n\r\n"])
)
def test_a_good_stream_comes_out_byte_for_byte(texts, end) -> None:
    data = b"".join([event(choice(text), end=end) for text in texts]) + event(choice(finish="stop"), end=end)
    out, scanner = run(data + DONE)
    assert out == data + DONE
    assert scanner.verdict is Verdict.COMPLETE
    assert scanner.has_content


def test_half_an_event_is_kept_back() -> None:
    scanner = Scanner(strip_usage=False)
    assert scanner.feed(TEXT + ROLE[:-1]) == TEXT
    assert scanner.feed(b"\n") == ROLE


def test_comments_and_empty_events_pass_and_mean_nothing() -> None:
    out, scanner = run(COMMENT + b"\n\n" + TEXT + COMMENT + FINISH + DONE)
    assert out == COMMENT + b"\n\n" + TEXT + COMMENT + FINISH + DONE
    assert scanner.verdict is Verdict.COMPLETE


def test_data_over_several_lines_is_one_event() -> None:
    raw = b'event: x\ndata: {"choices":[{"index":0,\ndata: "finish_reason":"stop"}]}\n\n'
    out, scanner = run(raw + DONE)
    assert out == raw + DONE
    assert scanner.verdict is Verdict.COMPLETE


def test_the_role_alone_is_no_content() -> None:
    assert not run(ROLE + COMMENT + USAGE)[1].has_content


CONTENTS = [
    {"delta": {"content": "x"}},
    {"delta": {"reasoning": "x"}},
    {"delta": {"reasoning_content": "x"}},
    {"delta": {"refusal": "x"}},
    {"delta": {"tool_calls": [{"index": 0}]}},
    {"delta": {}, "finish_reason": "stop"},
    {"text": "x"},
]


@pytest.mark.parametrize("first", CONTENTS)
def test_what_counts_as_content(first) -> None:
    assert run(event({"choices": [{"index": 0, **first}]}))[1].has_content


@pytest.mark.parametrize(
    "first", [{"delta": {"content": ""}}, {"delta": {"tool_calls": []}}, {"text": ""}, {}]
)
def test_what_does_not_count_as_content(first) -> None:
    assert not run(event({"choices": [{"index": 0, **first}]}))[1].has_content


def test_done_needs_every_choice_to_be_finished() -> None:
    other = event(choice("x", index=1))
    assert run(TEXT + other + FINISH + DONE)[1].verdict is Verdict.GARBAGE
    assert run(TEXT + other + FINISH + DONE)[0] == TEXT + other + FINISH
    both = TEXT + other + event(choice(finish="length", index=1)) + FINISH
    assert run(both + DONE)[1].verdict is Verdict.COMPLETE


@pytest.mark.parametrize("before", [b"", ROLE, COMMENT, USAGE])
def test_done_before_any_finish_is_garbage(before) -> None:
    out, scanner = run(before + DONE)
    assert out == before
    assert scanner.verdict is Verdict.GARBAGE


@pytest.mark.parametrize("behind", [TEXT, DONE, b"data: {", event({"error": {}}), b"garbage"])
def test_nothing_behind_done_is_released_or_judged(behind) -> None:
    for reads in ((GOOD + behind,), (GOOD, behind)):
        out, scanner = run(*reads)
        assert out == GOOD
        assert scanner.verdict is Verdict.COMPLETE


ERRORS = [
    ({"message": "m", "code": 400}, 400),
    ({"message": "m", "code": "x"}, 200),
    ("words", 200),
    ([1], 200),
    (False, 200),
]


@pytest.mark.parametrize(("value", "status"), ERRORS)
def test_an_error_event_is_kept_and_the_done_behind_it_too(value, status) -> None:
    raw = event({"error": value})
    out, scanner = run(TEXT + raw + DONE)
    assert out == TEXT
    assert scanner.verdict is Verdict.ERROR
    assert scanner.error is not None
    assert json.loads(scanner.error) == value
    assert errors.read_engine_error(200, scanner.error).status == status


def test_an_error_that_is_null_is_none() -> None:
    raw = event(choice("x", error=None))
    assert run(raw)[0] == raw
    assert run(raw)[1].verdict is Verdict.OPEN


def test_an_event_that_is_not_admitted_is_no_content() -> None:
    for raw in (
        event(choice("x", error={"code": 500})),
        event(choice("x")).replace(b'"choices"', b'"\xff":1,"choices"'),
        event({"choices": [{"delta": {"content": 5}}]}),
    ):
        out, scanner = run(ROLE + raw)
        assert out == ROLE
        assert not scanner.has_content


def test_usage_is_noted_and_stripped_only_when_nobody_asked() -> None:
    data = TEXT + FINISH + USAGE + DONE
    out, scanner = run(data)
    assert out == data
    assert scanner.usage == Usage(3, 2, 0)
    out, scanner = run(data, strip_usage=True)
    assert out == TEXT + FINISH + DONE
    assert scanner.usage == Usage(3, 2, 0)
    assert scanner.verdict is Verdict.COMPLETE


def test_usage_beside_choices_is_not_stripped() -> None:
    raw = event(choice("x", usage={"prompt_tokens": 3, "completion_tokens": 1}))
    assert run(raw, strip_usage=True)[0] == raw


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": 3}, Usage(3, 0, 0)),
        ({"prompt_tokens": 3, "completion_tokens": None}, Usage(3, 0, 0)),
        ({"prompt_tokens": 3, "prompt_tokens_details": {"cached_tokens": 2}}, Usage(3, 0, 2)),
        ({"prompt_tokens": 3, "prompt_tokens_details": {"cached_tokens": None}}, Usage(3, 0, 0)),
        ({"prompt_tokens": 3, "prompt_tokens_details": None}, Usage(3, 0, 0)),
    ],
)
def test_usage_as_engines_write_it(usage, expected) -> None:
    assert run(event({"choices": [], "usage": usage}))[1].usage == expected


def sized(size: int) -> bytes:
    empty = len(event(choice("")))
    return event(choice("x" * (size - empty)))


@pytest.mark.parametrize("read_bytes", [1 << 30, 1 << 18, 9999])
def test_an_event_at_the_cap_passes_and_one_byte_more_does_not(read_bytes) -> None:
    for size, verdict in ((sse.MAX_EVENT_BYTES, Verdict.OPEN), (sse.MAX_EVENT_BYTES + 1, Verdict.GARBAGE)):
        data = sized(size)
        assert len(data) == size
        scanner = Scanner(strip_usage=False)
        out = b"".join(scanner.feed(data[i : i + read_bytes]) for i in range(0, size, read_bytes))
        assert scanner.verdict is verdict
        assert out == (data if verdict is Verdict.OPEN else b"")


def test_an_event_that_never_ends_is_given_up() -> None:
    scanner = Scanner(strip_usage=False)
    fed = 0
    while scanner.verdict is Verdict.OPEN:
        assert scanner.feed(b"x" * 65536) == b""
        fed += 65536
    assert fed <= sse.MAX_EVENT_BYTES + 65536
    assert scanner.verdict is Verdict.GARBAGE


def test_an_empty_finish_reason_finishes_nothing() -> None:
    scanner = Scanner(strip_usage=False)
    scanner.feed(b'data: {"choices":[{"index":0,"finish_reason":""}]}\n\ndata: [DONE]\n\n')
    assert scanner.verdict is Verdict.GARBAGE


def test_tokens_are_bounded() -> None:
    scanner = Scanner(strip_usage=False)
    scanner.feed(
        b'data: {"choices":[],"usage":{"prompt_tokens":18446744073709551616,"completion_tokens":-1}}\n\n'
    )
    assert scanner.usage is not None
    assert scanner.usage[:2] == (2**40, 0)
