"""From a request and a behaviour to the pieces an engine writes, and what a client may see of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from simulation.actors import frames
from simulation.actors.frames import Ask
from simulation.schedule.values import Answering, Behaviour
from simulation.world.wire import How

_STREAM = b"text/event-stream; charset=utf-8"
_JSON = b"application/json"
LONG_BYTES = 80 * 1024
"""More than the gateway takes of a head, or of a stream without content."""
_CHUNKED = b"transfer-encoding: chunked"
_GOOD = frozenset({Answering.WELL, Answering.CLOSE, Answering.HANG, Answering.DEATH})
"""What is sent is right, as far as it goes."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes that are written together, `wait` seconds after the ones before. `shown` is what a client sees of them."""

    wait: float
    data: bytes
    shown: bytes = b""
    completes: bool = False
    """With this the answer is one: whatever happens later, a client may be shown a normal end."""


@dataclass(frozen=True, slots=True)
class Script:
    """One answer. After the last piece the connection is closed by `then`; `None` keeps it."""

    pieces: tuple[Piece, ...]
    then: How | None = None
    hangs: bool = False
    """After the last piece the answer is not over."""
    kills: bool = False
    """After the last piece the engine dies."""


def write(behaviour: Behaviour, ask: Ask) -> Script:
    """What an engine that behaves so answers to `ask`."""
    if behaviour.answering is Answering.NO_HTTP:
        return _no_http(behaviour, ask)
    script = _stream(behaviour, ask) if ask.stream else _plain(behaviour, ask)
    if behaviour.with_interim:
        script = replace(script, pieces=(Piece(behaviour.delay, frames.INTERIM), *script.pieces))
    if behaviour.answering is Answering.CLOSE:
        return replace(script, pieces=script.pieces[: behaviour.at], then=behaviour.how)
    if behaviour.answering is Answering.DEATH:
        return replace(script, pieces=script.pieces[: behaviour.at], then=behaviour.how, kills=True)
    if behaviour.answering is Answering.HANG and behaviour.at < len(script.pieces):
        return replace(script, pieces=script.pieces[: behaviour.at], hangs=True)
    return script


def _no_http(behaviour: Behaviour, ask: Ask) -> Script:
    """What is no HTTP, or more of it than anybody would take."""
    kinds = (
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nx-filler: %b\r\n\r\n" % (b"x" * LONG_BYTES),
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}",
        frames.head(200, _STREAM, _CHUNKED, closes=False)
        + frames.chunk(b": %b\n\n" % ask.marker.encode()) * (LONG_BYTES // 16),
    )
    return Script((Piece(behaviour.delay, kinds[behaviour.variant % len(kinds)]),), hangs=True)


def _stream(behaviour: Behaviour, ask: Ask) -> Script:
    """An event stream, and how it goes wrong: `good` events may reach a client, `bad` ones and what follows may not."""
    answering, at = behaviour.answering, behaviour.at
    if answering is Answering.STATUS:
        return _status(behaviour, ask)
    content_type = _STREAM
    finished = answering is not Answering.UNFINISHED
    events = list(frames.events(ask, behaviour.tokens, behaviour.piece_bytes, finished=finished))
    if behaviour.with_comments:
        events.insert(min(at, len(events)), frames.COMMENT)
    good, bad = events, [frames.DONE]
    if answering is Answering.ERROR_EVENT:
        good, bad = events[:at], [_error_event(ask, behaviour.status), frames.DONE]
    elif answering is Answering.GARBAGE and behaviour.variant % 8 == 0:
        good, bad, content_type = [], [*events, frames.DONE], b"text/html"
    elif answering is Answering.GARBAGE:
        good, bad = events[:at], [_garbage_event(behaviour.variant, ask), *events[at:], frames.DONE]
    elif answering is Answering.EARLY_END:
        good, bad = events[:at], []
    elif finished:
        good, bad = [*events, frames.DONE], []
        if behaviour.with_more:
            bad = [_error_event(ask, 500), frames.DONE]
    pieces = [
        Piece(behaviour.delay, frames.head(200, content_type, _CHUNKED, closes=behaviour.closes)),
        *_bursts(behaviour, [(event, True) for event in good] + [(event, False) for event in bad]),
        Piece(0.0, frames.LAST_CHUNK),
    ]
    return Script(tuple(pieces), How.FIN if behaviour.closes else None)


def _bursts(behaviour: Behaviour, events: Sequence[tuple[bytes, bool]]) -> Iterator[Piece]:
    """Events, each with whether it is good, so many at once as come at once."""
    for start in range(0, len(events), behaviour.burst):
        burst = events[start : start + behaviour.burst]
        yield Piece(
            behaviour.gap,
            b"".join([frames.chunk(event) for event, _ in burst]),
            shown=b"".join([event for event, is_good in burst if is_good]),
            completes=(frames.DONE, True) in burst,
        )


def _error_event(ask: Ask, status: int) -> bytes:
    return b"data: %b\n\n" % frames.error(ask, status)


def _garbage_event(variant: int, ask: Ask) -> bytes:
    """An event that is none."""
    marker = ask.marker.encode()
    kinds = (
        b'data: {"id":"broken %b\n\n' % marker,
        b'data: {"choices":[{"index":0,"delta":{"content":"%b\xff\xfe"}}]}\n\n' % marker,
        b'data: {"choices":"%b"}\n\n' % marker,
        b"data: [1,2]\n\n",
        b"data: <html>%b</html>\n\n" % marker,
    )
    return kinds[variant % len(kinds)]


def _plain(behaviour: Behaviour, ask: Ask) -> Script:
    """A whole answer, and how it goes wrong."""
    answering = behaviour.answering
    if answering in {Answering.STATUS, Answering.ERROR_EVENT}:
        return _status(behaviour, ask)
    body = frames.whole(ask, behaviour.tokens, behaviour.piece_bytes)
    is_good = answering in _GOOD
    if answering in {Answering.GARBAGE, Answering.UNFINISHED}:
        body = _garbage_body(behaviour.variant, ask, body)
    is_chunked = behaviour.variant % 3 == 0
    framing = _CHUNKED if is_chunked else b"content-length: %d" % len(body)
    parts = [part for part in (body[: len(body) // 2], body[len(body) // 2 :]) if part]
    pieces = [
        Piece(behaviour.delay, frames.head(200, _JSON, framing, closes=behaviour.closes)),
        *(
            Piece(behaviour.gap, frames.chunk(part) if is_chunked else part, part if is_good else b"")
            for part in parts
        ),
    ]
    if is_chunked:
        pieces.append(Piece(0.0, frames.LAST_CHUNK))
    if answering is Answering.EARLY_END:  # shorter than announced
        return Script(tuple(pieces[:2]), How.FIN)
    if is_good:
        pieces[-1] = replace(pieces[-1], completes=True)
    return Script(tuple(pieces), How.FIN if behaviour.closes else None)


def _garbage_body(variant: int, ask: Ask, body: bytes) -> bytes:
    """A body under 200 that is no answer."""
    kinds = (body[:-1], b"<html>%b</html>" % ask.marker.encode(), frames.error(ask, 500), b"", body + b"\xff")
    return kinds[variant % len(kinds)]


def _status(behaviour: Behaviour, ask: Ask) -> Script:
    """An error status with its body."""
    body = frames.error(ask, behaviour.status)
    head = frames.head(behaviour.status, _JSON, b"content-length: %d" % len(body), closes=behaviour.closes)
    return Script((Piece(behaviour.delay, head + body),), How.FIN if behaviour.closes else None)
