"""Watching an engine's event stream: whole events through, unchanged, and what they mean noted.

The scanner is fed whatever the socket gave and returns what may be forwarded. It releases only whole events, so a cut
between two bytes of a character or in the middle of an event never reaches a client, and every split of the same bytes
gives the same output. It refuses to release

- an event that is not what the API promises (broken JSON, not UTF-8, larger than `MAX_EVENT_BYTES`),
- an event with a top-level `error`: vLLM sends one under HTTP 200 and then a well-formed `[DONE]`,
- the `[DONE]` of a stream in which a choice never got a `finish_reason`,
- whatever follows `[DONE]`,
- the usage event, when it was asked for by the gateway and not by the client.

SSE framing: WHATWG HTML, section 9.2 (server-sent events).
"""

from __future__ import annotations

from enum import Enum

import msgspec

from gateway.core.outcome import Usage
from gateway.openai.shapes import ABSENT, NULL, decode_event, decode_first

MAX_EVENT_BYTES = 1 << 20
"""An event longer than this is no answer: a 1 MiB event holds more text than any engine step makes."""


class Verdict(Enum):
    """What the stream has shown itself to be so far."""

    OPEN = "open"
    COMPLETE = "complete"  # every choice finished, then [DONE]
    ERROR = "error"  # the engine said so in-band: see `Scanner.error`
    GARBAGE = "garbage"  # no event stream of this API


OPEN, COMPLETE, ERROR, GARBAGE = Verdict


class Scanner:
    """Follows one stream. Feed it in order; read `verdict` after each feed.

    `has_content` turns true with the first event that carries something of the answer (text, reasoning, a tool call, a
    finish reason), as against the opening event that only names the role. `delivered` counts the events of each choice
    from then on: an engine makes one for each token, or for a few of them when it is asked to.
    """

    __slots__ = (
        "_strip_usage",
        "_tail",
        "_unfinished",
        "delivered",
        "error",
        "has_content",
        "usage",
        "verdict",
    )

    def __init__(self, *, strip_usage: bool) -> None:
        self._strip_usage = strip_usage
        self._tail = b""
        self._unfinished: dict[int, bool] = {}
        self.verdict = OPEN
        self.error: bytes | None = None
        self.has_content = False
        self.usage: Usage | None = None
        self.delivered = 0

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes, return those of whole events that may be forwarded. Never raises."""
        if self.verdict is not OPEN:
            return b""
        if self._tail:
            data = self._tail + data
        # The common case by far: one read is one whole event of one line.
        if (
            data.find(b"\n") == len(data) - 2
            and data.endswith(b"\n\n")
            and data.startswith(b"data: {")
            and len(data) <= MAX_EVENT_BYTES
        ):
            self._tail = b""
            return data if self._admits_payload(data[6:-2]) else b""
        return self._feed_many(data)

    def _feed_many(self, data: bytes) -> bytes:
        """Split `data` into events, keep the tail, return what may be forwarded."""
        start = passed = 0
        out = []
        while self.verdict is OPEN:
            # The common case of several events in one read: each one line, whose end no other kind of end comes before.
            line = data.find(b"\n", start)
            if (
                line >= 0
                and line - start < MAX_EVENT_BYTES - 1
                and data.startswith(b"data: {", start)
                and data.startswith(b"\n\n", line)
            ):
                end = line + 2
                is_admitted = self._admits_payload(data[start + 6 : line])
            else:
                end = _end_of_event(data, start)
                if end < 0:
                    break
                is_admitted = self._admits(data[start:end])
            if not is_admitted:
                out.append(data[passed:start])
                passed = end
            start = end
        out.append(data[passed:start])
        self._tail = data[start:]
        if len(self._tail) > MAX_EVENT_BYTES and self.verdict is OPEN:
            self.verdict = GARBAGE
        return b"".join(out)

    def _admits(self, event: bytes) -> bool:
        """Judge one whole event, its blank line included. Whether it may be forwarded."""
        if len(event) > MAX_EVENT_BYTES:
            self.verdict = GARBAGE
            return False
        if event.startswith(b"data: {") and event.find(b"\n") == len(event) - 2:
            return self._admits_payload(event[6:-2])
        try:
            payload = _payload(event)
        except ValueError:
            self.verdict = GARBAGE
            return False
        if payload is None:
            return True  # a comment or an empty event: legal, says nothing
        if payload == b"[DONE]":
            finished = bool(self._unfinished) and not any(self._unfinished.values())
            self.verdict = COMPLETE if finished else GARBAGE
            return finished
        return self._admits_payload(payload)

    def _admits_payload(self, payload: bytes) -> bool:
        try:
            event = decode_event(payload)
            payload.isascii() or payload.decode()
            has_content = self.has_content or _carries_content(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self.verdict = GARBAGE
            return False
        if event.error is not ABSENT and event.error != NULL:
            self.verdict = ERROR
            self.error = bytes(event.error)
            return False
        self.has_content = has_content
        if event.choices:
            for choice in event.choices:
                if choice.finish_reason:
                    self._unfinished[choice.index] = False
                else:
                    self._unfinished.setdefault(choice.index, True)
                    self.delivered += has_content
        if event.usage is not None:
            self.usage = event.usage.value()
            return bool(event.choices) or not self._strip_usage
        return True


def _carries_content(payload: bytes) -> bool:
    for choice in decode_first(payload).choices or ():
        if choice.finish_reason or choice.text:
            return True
        delta = choice.delta
        if delta and (
            delta.content or delta.reasoning or delta.reasoning_content or delta.refusal or delta.tool_calls
        ):
            return True
    return False


def _end_of_event(data: bytes, start: int) -> int:
    """Index after the blank line that ends the event beginning at `start`, -1 when it is not there yet."""
    plain = data.find(b"\n\n", start)
    # One that ends before the plain one does: its last byte may be the plain one's first.
    windows = data.find(b"\r\n\r\n", start, plain + 1 if plain >= 0 else len(data))
    if windows >= 0:
        return windows + 4
    return plain + 2 if plain >= 0 else -1


def _payload(event: bytes) -> bytes | None:
    """The event's data lines joined, `None` when it has none. Raises `ValueError` for a line that is no field of one."""
    data = []
    for line in event.replace(b"\r\n", b"\n").split(b"\n"):
        if line.startswith(b"data:"):
            data.append(line[5:].removeprefix(b" "))
        elif line and not line.startswith(_OTHER_FIELDS):
            raise ValueError("not a field of an event")
    return b"\n".join(data) if data else None


_OTHER_FIELDS = (b":", b"event:", b"id:", b"retry:")
"""What a line may begin with besides data. A reader ignores anything else, so no engine has a reason to send it."""
