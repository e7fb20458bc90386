"""The line of a call that is over."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.core.call import Principal
from gateway.core.outcome import End, Outcome, Usage
from gateway.observe.calls import CallLog
from gateway.observe.logs import as_json


class Lines:
    """Keeps what a `LineWriter` would write."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []

    def write(self, line: bytes) -> None:
        self.lines.append(line)


def end(**changes: Any) -> End:
    values: dict[str, Any] = {
        "request_id": "req-1",
        "operation": "chat",
        "principal": Principal(tenant="lab", key_id="k1"),
        "model": "m",
        "stream": True,
        "outcome": Outcome.OK,
        "status": 200,
        "code": None,
        "replica": "engine-0",
        "attempts": 1,
        "usage": Usage(prompt_tokens=3, completion_tokens=4, cached_tokens=1),
        "arrived": 10.0,
        "dispatched": 10.00004,
        "first_content": 10.25,
        "ended": 10.5,
    }
    return End(**{**values, **changes})


def lines_of(*ends: End, wall_clock: Any = lambda: 0.0) -> list[dict[str, Any]]:
    lines = Lines()
    log = CallLog(lines, as_json, wall_clock=wall_clock)  # type: ignore[arg-type]
    for each in ends:
        log.on_end(each)
    assert all(line.endswith(b"}\n") and line.count(b"\n") == 1 for line in lines.lines)
    return [json.loads(line) for line in lines.lines]


def test_a_line_tells_who_what_how_long_and_how_it_ended():
    assert lines_of(end()) == [
        {
            "timestamp": "1970-01-01T00:00:00.000+00:00",
            "level": "info",
            "event": "call",
            "request_id": "req-1",
            "operation": "chat",
            "model": "m",
            "outcome": "ok",
            "status": 200,
            "code": None,
            "tenant": "lab",
            "key": "k1",
            "client": None,
            "stream": True,
            "replica": "engine-0",
            "attempts": 1,
            "queue_ms": 0.0,
            "ttft_ms": 250.0,
            "duration_ms": 500.0,
            "prompt_tokens": 3,
            "cached_tokens": 1,
            "completion_tokens": 4,
        }
    ]


def test_what_a_call_never_came_to_is_null():
    (line,) = lines_of(
        end(principal=None, model=None, usage=None, replica=None, dispatched=None, first_content=None)
    )
    for name in ("tenant", "key", "model", "replica", "queue_ms", "ttft_ms", "prompt_tokens"):
        assert line[name] is None, name


def test_times_are_to_the_millisecond_and_follow_the_clock_over_a_second():
    instants = iter([1_800_000_000.0009, 1_800_000_000.9996, 1_800_000_001.25, 1_799_999_999.5])
    stamps = [
        line["timestamp"] for line in lines_of(end(), end(), end(), end(), wall_clock=lambda: next(instants))
    ]
    assert stamps == [
        "2027-01-15T08:00:00.000+00:00",
        "2027-01-15T08:00:00.999+00:00",
        "2027-01-15T08:00:01.250+00:00",
        "2027-01-15T07:59:59.500+00:00",
    ]


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.00004, 0.0), (0.00006, 0.1), (0.1, 100.0), (61.23456, 61234.6)]
)
def test_durations_are_rounded_to_a_tenth_of_a_millisecond(seconds, shown):
    (line,) = lines_of(end(arrived=0.0, ended=seconds))
    assert line["duration_ms"] == shown
