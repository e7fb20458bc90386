from __future__ import annotations

import io
import json
import logging
import threading
from collections.abc import Iterator

import pytest

from gateway.core.call import Principal
from gateway.core.outcome import End, Outcome, Usage
from gateway.observe import logs
from gateway.observe.calls import CallLog


@pytest.fixture
def restored() -> Iterator[None]:
    root, own = logging.getLogger(), logging.getLogger(logs.OWN_LOGGERS)
    before = (root.handlers[:], root.level, own.level)
    yield
    root.handlers[:], root.level, own.level = before[0], before[1], before[2]
    logging.getLogger(logs.OWN_LOGGERS).setLevel(before[2])


def end(**changes: object) -> End:
    fields: dict[str, object] = {
        "request_id": "req-1",
        "operation": "chat",
        "principal": Principal(tenant="lab", key_id="k1"),
        "model": "tiny",
        "stream": True,
        "outcome": Outcome.OK,
        "status": 200,
        "code": None,
        "replica": "tiny-0",
        "attempts": 1,
        "usage": Usage(prompt_tokens=3, completion_tokens=5, cached_tokens=1),
        "arrived": 10.0,
        "dispatched": 10.25,
        "first_content": 11.0,
        "ended": 12.5,
    }
    return End(**(fields | changes))


def written(write: object) -> list[str]:
    stream = io.BytesIO()
    writer = logs.LineWriter(stream)
    write(writer)
    writer.close()
    return stream.getvalue().decode().splitlines()


def test_a_call_is_one_json_line_with_its_ids_outcome_times_and_tokens():
    (line,) = written(lambda w: CallLog(w, logs.as_json, wall_clock=lambda: 1_700_000_000.5).on_end(end()))
    fields = json.loads(line)
    assert fields["timestamp"] == "2023-11-14T22:13:20.500+00:00"
    assert (fields["event"], fields["request_id"], fields["outcome"]) == ("call", "req-1", "ok")
    assert (fields["tenant"], fields["key"], fields["replica"]) == ("lab", "k1", "tiny-0")
    assert (fields["queue_ms"], fields["ttft_ms"], fields["duration_ms"]) == (250.0, 1000.0, 2500.0)
    assert (fields["prompt_tokens"], fields["cached_tokens"], fields["completion_tokens"]) == (3, 1, 5)


def test_a_call_that_never_got_far_has_nulls_not_zeros():
    early = end(principal=None, model=None, replica=None, usage=None, dispatched=None, first_content=None)
    (line,) = written(lambda w: CallLog(w, logs.as_json).on_end(early))
    fields = json.loads(line)
    assert [fields[name] for name in ("tenant", "model", "queue_ms", "ttft_ms", "prompt_tokens")] == [
        None
    ] * 5


def test_text_lines_cannot_be_forged_by_control_characters():
    (line,) = written(lambda w: w.write(logs.as_text({"event": "a", "path": "x\ny\x1b[31m\u2028z"})))
    assert "path=x\\ny\\x1b[31m\\u2028z" in line


@pytest.mark.usefixtures("restored")
def test_records_carry_their_extra_fields_level_and_traceback():
    def write(writer: logs.LineWriter) -> None:
        logs.configure(writer, level="info", render=logs.as_json)
        log = logging.getLogger("gateway.fleet.test")
        log.debug("not written")
        log.warning("upstream does not answer", extra={"upstream": "u0"})
        logging.getLogger("somebody.else").info("not written either")
        try:
            raise ValueError("boom")
        except ValueError:
            log.exception("failed")

    first, second = map(json.loads, written(write))
    assert (first["event"], first["level"], first["upstream"]) == (
        "upstream does not answer",
        "warning",
        "u0",
    )
    assert second["level"] == "error"
    assert "ValueError: boom" in second["exception"]


def test_a_reader_that_is_stuck_costs_lines_and_never_the_caller():
    stuck, released = threading.Event(), threading.Event()

    class Stuck(io.BytesIO):
        def write(self, data: object) -> int:
            stuck.set()
            released.wait(30)
            return super().write(data)

    stream = Stuck()
    writer = logs.LineWriter(stream)
    writer.write(b"first\n")
    assert stuck.wait(30)
    for _ in range(logs.MAX_WAITING_LINES + 7):
        writer.write(b"x\n")
    assert writer.dropped == 7
    released.set()
    writer.close(30)
    assert stream.getvalue().count(b"\n") == logs.MAX_WAITING_LINES + 1


def test_a_closed_stream_is_counted_and_raises_nothing():
    stream = io.BytesIO()
    stream.close()
    writer = logs.LineWriter(stream)
    writer.write(b"a\n")
    writer.close()
    assert writer.dropped == 1
