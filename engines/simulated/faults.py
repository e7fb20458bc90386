"""Faulty wires, one for each way in which a response goes wrong on its way out."""

from __future__ import annotations

import re

from engines.simulated import refusals
from engines.simulated.frames import DONE
from engines.simulated.heads import JSON
from engines.simulated.journal import Record
from engines.simulated.script import At, Fault, FaultKind
from engines.simulated.wires import LAST_CHUNK, Line, Wire

HTML = b"<!DOCTYPE html><html><body><h1>502 Bad Gateway</h1></body></html>"
BROKEN_EVENT = b'data: {"id":"chatcmpl-broken","choices":[{"index":0,"delta":{"content":"bro\n\n'
NOT_UTF8_EVENT = (
    b'data: {"id":"x","choices":[{"index":0,"delta":{"content":"\xff\xfe\xc3("},"finish_reason":null}]}\n\n'
)
_ENDLESS_SECONDS = 0.001


class Struck(Wire):
    """Sends `after_events` events, then `strike`s once. After `silence` nothing more goes out."""

    def __init__(self, line: Line, record: Record, fault: Fault) -> None:
        super().__init__(line, record)
        self.fault = fault
        self.is_silent = False
        self._has_struck = False

    def open(self, extra: bytes = b"") -> None:
        """Send the head, and strike if that is the place."""
        super().open(extra)
        if self.fault.at is At.HEADERS or self.fault.after_events == 0:
            self._strike_once()

    def event(self, data: bytes) -> None:
        """Send an event, and strike if that is the place."""
        if self.is_silent:
            return
        super().event(data)
        if self.record.events_sent >= self.fault.after_events:
            self._strike_once()

    def close(self) -> None:
        """End the stream, unless the fault did."""
        if not self.is_silent:
            super().close()

    def reply(self, status: int, body: bytes, **known: object) -> None:
        """Strike in place of a whole reply; send it if the strike left the wire open."""
        self._strike_once()
        if not self.is_silent:
            super().reply(status, body, **known)  # type: ignore[arg-type]

    def strike(self) -> None:
        """Do what this fault does."""
        raise NotImplementedError  # abstract: only the kinds of faults below are made

    def silence(self) -> None:
        """Send nothing more and end the generation."""
        self.is_silent = True
        self.line.abandon()

    def _strike_once(self) -> None:
        if not self._has_struck:
            self._has_struck = True
            self.strike()

    def _put(self, data: bytes) -> None:
        if not self.is_silent:
            super()._put(data)


class Die(Struck):
    """The process ends."""

    def strike(self) -> None:
        """End the engine once what was sent is with the kernel."""
        self.silence()
        self.line.after_flush(lambda: self.line.die(self.fault.code))


class Hang(Struck):
    """Nothing more comes; the connection stays."""

    def strike(self) -> None:
        """Stop."""
        self.is_silent = True
        self.line.stall()


class Cut(Struck):
    """The connection ends, by FIN or RST, after events or in the middle of the bytes."""

    def __init__(self, line: Line, record: Record, fault: Fault) -> None:
        super().__init__(line, record, fault)
        self._left = fault.at_byte

    def strike(self) -> None:
        """Drop the connection, unless a byte count is awaited."""
        if self._left is None:
            self._drop()

    def _drop(self) -> None:
        self.silence()
        self.line.after_flush(lambda: self.line.cut(reset=self.fault.kind is FaultKind.RESET))

    def _put(self, data: bytes) -> None:
        if self._left is None or self.is_silent:
            super()._put(data)
            return
        if len(data) < self._left:
            self._left -= len(data)
            super()._put(data)
            return
        super()._put(data[: self._left])
        self._drop()


class EarlyEnd(Struck):
    """A stream ends well-formed, without a finish reason or `[DONE]`."""

    def strike(self) -> None:
        """End it."""
        self._put(LAST_CHUNK)
        self.silence()
        self.line.response_over()

    def reply(self, status: int, body: bytes, **known: object) -> None:
        """Send half of the body as if it were all."""
        Wire.reply(self, status, body[: len(body) // 2], **known)  # type: ignore[arg-type]


class ErrorEvent(Struck):
    """An error event and then `[DONE]`, all under HTTP 200: what vLLM does when its core dies."""

    def strike(self) -> None:
        """Send them."""
        data = refusals.broken(self.fault.message).event()
        for event in (data, DONE):
            Wire.event(self, event)
        self._put(LAST_CHUNK)
        self.silence()
        self.line.response_over()

    def reply(self, status: int, body: bytes, **known: object) -> None:  # noqa: ARG002 the reply is replaced
        """Answer 500 with the same error."""
        Wire.reply(self, 500, refusals.broken(self.fault.message).body())


class Garbage(Struck):
    """One event that cannot be read, then the stream goes on."""

    def strike(self) -> None:
        """Send it."""
        event = {FaultKind.BROKEN_JSON: BROKEN_EVENT, FaultKind.NOT_UTF8: NOT_UTF8_EVENT}.get(self.fault.kind)
        if event is None:
            event = b'data: {"id":"%s"}\n\n' % (b"x" * self.fault.size_bytes)
        Wire.event(self, event)

    def reply(self, status: int, body: bytes, **known: object) -> None:
        """Send the body spoilt in the same way."""
        spoilt = {
            FaultKind.BROKEN_JSON: body[:-2],
            FaultKind.NOT_UTF8: body.replace(b'"content":"', b'"content":"\xff\xfe', 1),
        }.get(self.fault.kind, body + b" " * self.fault.size_bytes)
        Wire.reply(self, status, spoilt, **known)  # type: ignore[arg-type]


class Replaced(Struck):
    """HTTP 200 with something else in it: a page, or an error."""

    def open(self, extra: bytes = b"") -> None:
        """Send the other thing in place of the stream."""
        self.reply(200, extra)

    def strike(self) -> None:
        """Nothing: `reply` does it."""

    def reply(self, status: int, body: bytes, **known: object) -> None:  # noqa: ARG002 both are replaced
        """Send the other thing."""
        is_html = self.fault.kind is FaultKind.HTML
        other = HTML if is_html else refusals.broken(self.fault.message).body()
        if self.fault.body is not None:
            other = self.fault.body.encode()
        self.record.status = 200
        kind = b"text/html; charset=utf-8" if is_html else JSON
        head = self.line.heads.reply(200, len(other), content_type=kind, keep_alive=self.line.keep_alive)
        self._put(head + other)
        self.silence()
        self.line.response_over()


class WrongContentType(Wire):
    """The right bytes under a wrong content type."""

    def open(self, extra: bytes = b"") -> None:
        """Send the head of a stream that calls itself plain text."""
        self.record.status = 200
        head = self.line.heads.stream(
            content_type=b"text/plain", extra=extra, keep_alive=self.line.keep_alive
        )
        self._put(head)

    def reply(self, status: int, body: bytes, **known: object) -> None:
        """Send a reply that calls itself plain text."""
        super().reply(status, body, **{**known, "content_type": b"text/plain"})  # type: ignore[arg-type]


class Endless(Struck):
    """A stream whose last event comes again and again until the client goes."""

    def __init__(self, line: Line, record: Record, fault: Fault) -> None:
        super().__init__(line, record, fault)
        self._last = b": endless\n\n"

    def event(self, data: bytes) -> None:
        """Send an event and remember it."""
        self._last = data
        super().event(data)

    def strike(self) -> None:
        """Begin to repeat."""
        self.line.stall()
        self.is_silent = True
        self._again()

    def _again(self) -> None:
        self.line.write(b"%x\r\n%s\r\n" % (len(self._last), self._last))
        self.line.later(_ENDLESS_SECONDS, self._again)


class AfterDone(Wire):
    """Events go on after `[DONE]`."""

    def __init__(self, line: Line, record: Record) -> None:
        super().__init__(line, record)
        self._last = b""

    def event(self, data: bytes) -> None:
        """Send an event, twice if it is the end."""
        super().event(data)
        if data == DONE:
            super().event(self._last)
            super().event(DONE)
        self._last = data


class ShortBody(Struck):
    """Less is sent than was announced, then FIN."""

    def strike(self) -> None:
        """Send half of a chunk and go."""
        self._put(b"100\r\ndata: {")
        self._go()

    def reply(self, status: int, body: bytes, **known: object) -> None:  # noqa: ARG002 the head is its own
        """Send half of the body and go."""
        self.record.status = status
        head = self.line.heads.reply(status, len(body), keep_alive=self.line.keep_alive)
        self._put(head + body[: len(body) // 2])
        self._go()

    def _go(self) -> None:
        self.silence()
        self.line.after_flush(lambda: self.line.cut(reset=False))


class Tamper(Wire):
    """Well-formed lies: see `Fault.what`."""

    _REPLACED = {  # noqa: RUF012 a constant table
        "usage_negative": (re.compile(rb'"(prompt|completion|total)_tokens":(\d+)'), rb'"\1_tokens":-\2'),
        "wrong_model": (re.compile(rb'"model":"[^"]*"'), b'"model":"another-model"'),
        "wrong_id": (re.compile(rb'"id":"(chatcmpl|cmpl)-[^"]*"'), rb'"id":"\1-another"'),
        "no_finish_reason": (re.compile(rb'"finish_reason":"[^"]*"'), b'"finish_reason":null'),
        "usage_missing": (re.compile(rb',"usage":\{[^}]*\}'), b""),
    }

    def __init__(self, line: Line, record: Record, what: str) -> None:
        super().__init__(line, record)
        self._what = what

    def event(self, data: bytes) -> None:
        """Send a changed event."""
        if self._what == "usage_missing" and b'"choices":[],"usage"' in data:
            return
        super().event(self._changed(data))
        if self._what == "second_done" and data == DONE:
            super().event(DONE)

    def reply(self, status: int, body: bytes, **known: object) -> None:
        """Send a changed reply."""
        super().reply(status, self._changed(body), **known)  # type: ignore[arg-type]

    def _changed(self, data: bytes) -> bytes:
        rule = self._REPLACED.get(self._what)
        return data if rule is None else rule[0].sub(rule[1], data)


_STRUCK: dict[FaultKind, type[Struck]] = {
    FaultKind.DIE: Die,
    FaultKind.HANG: Hang,
    FaultKind.RESET: Cut,
    FaultKind.CLOSE: Cut,
    FaultKind.EARLY_END: EarlyEnd,
    FaultKind.ERROR_EVENT: ErrorEvent,
    FaultKind.BROKEN_JSON: Garbage,
    FaultKind.NOT_UTF8: Garbage,
    FaultKind.HUGE_LINE: Garbage,
    FaultKind.HTML: Replaced,
    FaultKind.ERROR_BODY: Replaced,
    FaultKind.ENDLESS: Endless,
    FaultKind.SHORT_BODY: ShortBody,
}


def wire_for(line: Line, record: Record, fault: Fault | None) -> Wire:
    """Give the wire for one response."""
    if fault is None:
        return Wire(line, record)
    record.fault = fault.kind.value
    struck = _STRUCK.get(fault.kind)
    if struck is not None:
        return struck(line, record, fault)
    if fault.kind is FaultKind.WRONG_CONTENT_TYPE:
        return WrongContentType(line, record)
    if fault.kind is FaultKind.AFTER_DONE:
        return AfterDone(line, record)
    if fault.kind is FaultKind.TAMPER:
        return Tamper(line, record, fault.what)
    return Wire(line, record)
