"""The wire of Redis and Valkey without any I/O: commands to bytes, bytes to replies.

Both versions of the protocol are read (the Redis serialization protocol specification). Whatever is larger
than the bounds below is no answer to anything that we ask, and ends the connection: a server that went mad costs no memory.
"""

from __future__ import annotations

from typing import Final, TypeAlias

MAX_REPLY_BYTES: Final = 256 * 1024
"""Of one string in a reply."""
MAX_ITEMS: Final = 16 * 1024
"""Of one array in a reply."""
MAX_DEPTH: Final = 8
_MAX_LINE: Final = 64 * 1024
_MOST_DIGITS: Final = 20
_CRLF: Final = b"\r\n"
_STRINGS: Final = frozenset({b"$", b"=", b"!"})
_ARRAYS: Final = frozenset({b"*", b"~", b">", b"%", b"|"})
_PAIRS: Final = frozenset({b"%", b"|"})
_NONE: Final = b"-1"
_NULLS: Final = frozenset({b"$", b"*"})
"""How the second version says that there is nothing."""


class ProtocolError(Exception):
    """What came is not a reply, or larger than one may be. Nothing more can be read from this connection."""


class ErrorReply(Exception):
    """The server refused a command. A value among replies, raised by whoever has no use for it."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.code = text.split(" ", 1)[0].rstrip(":")
        """`NOSCRIPT`, `OOM`, `READONLY` and so on; `ERR` for most."""


class Push(list["Reply"]):
    """What the server says unasked (RESP3). It answers no command."""


Reply: TypeAlias = "int | float | bool | bytes | ErrorReply | list[Reply] | dict[bytes, Reply] | None"


def command(*words: bytes) -> bytes:
    """One command as the server reads it."""
    return b"".join([b"*%d\r\n" % len(words), *[b"$%d\r\n%b\r\n" % (len(word), word) for word in words]])


class Parser:
    """Takes bytes in whatever pieces they come and gives the replies that are complete."""

    def __init__(self) -> None:
        self._buffer = b""
        self._open: list[_Open] = []

    def feed(self, data: bytes) -> list[Reply | Push]:
        """The replies that `data` completes, in order. Raises `ProtocolError`."""
        buffer = self._buffer + data if self._buffer else data
        at = 0
        done: list[Reply | Push] = []
        while (end := buffer.find(_CRLF, at)) >= 0:
            kind, line, after = buffer[at : at + 1], buffer[at + 1 : end], end + 2
            if kind in _STRINGS and line != _NONE:
                begin, after = after, after + _length(line, MAX_REPLY_BYTES) + 2
                if after > len(buffer):
                    break
                if buffer[after - 2 : after] != _CRLF:
                    raise ProtocolError("a string is longer than it says")
                self._add(_string(kind, buffer[begin : after - 2]), done)
            elif kind in _ARRAYS and line != _NONE:
                self._begin(kind, _length(line, MAX_ITEMS), done)
            else:
                self._add(_plain(kind, line), done)
            at = after
        self._buffer = buffer[at:]
        if len(self._buffer) > MAX_REPLY_BYTES + _MAX_LINE or (end < 0 and len(self._buffer) > _MAX_LINE):
            raise ProtocolError("a line without an end")
        return done

    def _add(self, value: Reply | Push, done: list[Reply | Push]) -> None:
        if not self._open:
            done.append(value)
            return
        self._open[-1].items.append(value)
        self._open[-1].missing -= 1
        self._close(done)

    def _begin(self, kind: bytes, count: int, done: list[Reply | Push]) -> None:
        if len(self._open) >= MAX_DEPTH:
            raise ProtocolError("arrays in arrays without end")
        self._open.append(_Open(kind, count * 2 if kind in _PAIRS else count))
        self._close(done)

    def _close(self, done: list[Reply | Push]) -> None:
        """Close the innermost array if it is complete, and those that it completes."""
        while self._open and self._open[-1].missing == 0:
            closed = self._open.pop()
            if closed.kind == b"|":  # attributes of the value that follows: nobody here asks for any
                continue
            value = closed.value()
            if not self._open:
                done.append(value)
                return
            self._open[-1].items.append(value)
            self._open[-1].missing -= 1


class _Open:
    """An array whose items are still coming."""

    __slots__ = ("items", "kind", "missing")

    def __init__(self, kind: bytes, missing: int) -> None:
        self.kind = kind
        self.missing = missing
        self.items: list[Reply | Push] = []

    def value(self) -> Reply | Push:
        """The whole of it."""
        if self.kind == b">":
            return Push(self.items)
        if self.kind == b"%":
            return {_key(self.items[n]): self.items[n + 1] for n in range(0, len(self.items), 2)}
        return self.items


def _key(value: Reply | Push) -> bytes:
    if not isinstance(value, bytes):
        raise ProtocolError("a map's key is no string")
    return value


def _string(kind: bytes, text: bytes) -> Reply:
    if kind == b"!":
        return ErrorReply(text.decode("utf-8", "replace"))
    if kind == b"=":
        return text[4:]  # the first four say what it is written in: "txt:"
    return text


def _plain(kind: bytes, line: bytes) -> Reply:
    """A reply of one line."""
    if len(line) > _MAX_LINE:
        raise ProtocolError("a line is too long")
    if kind == b"+":
        return line
    if kind == b"-":
        return ErrorReply(line.decode("utf-8", "replace"))
    if kind == b"_" or (line == _NONE and kind in _NULLS):
        return None
    if kind == b"#" and line in {b"t", b"f"}:
        return line == b"t"
    try:
        if kind in b":(":
            return _integer(line)
        if kind == b",":
            return float(line)
    except ValueError:
        pass
    raise ProtocolError(f"not a reply: {(kind + line[:40])!r}")


def _integer(line: bytes) -> int:
    digits = line[1:] if line[:1] in (b"-", b"+") else line
    if not digits.isdigit() or len(digits) > _MOST_DIGITS:
        raise ValueError("not a number")
    return int(line)


def _length(line: bytes, most: int) -> int:
    """A length."""
    try:
        length = _integer(line)
    except ValueError:
        raise ProtocolError(f"not a length: {line[:40]!r}") from None
    if length < 0 or length > most:
        raise ProtocolError(f"a reply of {length}, more than {most}")
    return length
