"""ZMTP 3.0, the wire of ZeroMQ, as far as a subscriber and its questions need it: no socket, only bytes in and out.

From the specification at rfc.zeromq.org/spec/23. A greeting of 64 bytes each way, a READY command each way, then messages of
several frames. Security is that of the socket's folder: the mechanism is NULL. Written here because what the library for
it would bring - an I/O thread, reconnecting in silence - is what a follower must not have: it has to see a connection
break.
"""

from __future__ import annotations

from collections.abc import Callable

MOST_BYTES = 16 * 1024 * 1024
"""Of one frame. A batch of events is a few kilobytes; the tokens of the longest prompts are a few megabytes."""
MOST_FRAMES = 16
_GREETING_BYTES = 64
_GREETING = b"\xff" + bytes(8) + b"\x7f" + b"\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
_MORE, _LONG, _COMMAND = 1, 2, 4
_LEAST_MAJOR = 3
_FIRST, _TENTH = 0xFF, 0x7F
_LONGEST_SHORT = 255


class WireError(Exception):
    """What came is no ZMTP that we speak, or larger than it may be."""


class Wire:
    """One side of a connection. `send` takes bytes for the peer, `receive` each whole message as its frames."""

    __slots__ = ("_buffer", "_frames", "_is_greeted", "_kind", "_receive", "_send", "is_open", "on_open")

    def __init__(
        self,
        kind: bytes,
        send: Callable[[bytes], object],
        receive: Callable[[tuple[bytes, ...]], object],
        on_open: Callable[[], object] = lambda: None,
    ) -> None:
        self._kind = kind
        self._send = send
        self._receive = receive
        self.on_open = on_open
        self._buffer = bytearray()
        self._frames: list[bytes] = []
        self._is_greeted = False
        self.is_open = False
        """Both sides are ready: messages may be sent."""

    def begin(self) -> None:
        """Greet the peer."""
        self._send(_GREETING)

    def feed(self, data: bytes) -> None:
        """Take what came. Raises `WireError`, after which the connection is of no use."""
        self._buffer += data
        if not self._is_greeted:
            if len(self._buffer) < _GREETING_BYTES:
                return
            self._greeted(bytes(self._buffer[:_GREETING_BYTES]))
            del self._buffer[:_GREETING_BYTES]
        self._read_frames()

    def message(self, *frames: bytes) -> None:
        """Send one message."""
        last = len(frames) - 1
        self._send(b"".join([_framed(frame, 0 if at == last else _MORE) for at, frame in enumerate(frames)]))

    def _greeted(self, greeting: bytes) -> None:
        if greeting[0] != _FIRST or greeting[9] != _TENTH or greeting[10] < _LEAST_MAJOR:
            raise WireError("the peer does not speak ZMTP 3")
        if greeting[12:32].rstrip(b"\0") != b"NULL":
            raise WireError("the peer wants a login")
        self._is_greeted = True
        ready = b"\x05READY" + _property(b"Socket-Type", self._kind) + _property(b"Identity", b"")
        self._send(_framed(ready, _COMMAND))

    def _read_frames(self) -> None:
        buffer, at = self._buffer, 0
        while len(buffer) - at >= 2:  # noqa: PLR2004 - flags and the shortest length
            flags = buffer[at]
            if flags & _LONG:
                if len(buffer) - at < 9:  # noqa: PLR2004 - flags and a long length
                    break
                start, size = at + 9, int.from_bytes(buffer[at + 1 : at + 9], "big")
            else:
                start, size = at + 2, buffer[at + 1]
            if size > MOST_BYTES:
                raise WireError(f"a frame of {size} bytes")
            if len(buffer) - start < size:
                break
            at = start + size
            self._frame(flags, bytes(buffer[start:at]))
        del buffer[:at]

    def _frame(self, flags: int, body: bytes) -> None:
        if flags & _COMMAND:
            self._command(body)
            return
        if not self.is_open or len(self._frames) >= MOST_FRAMES:
            raise WireError("a message out of place")
        self._frames.append(body)
        if not flags & _MORE:
            frames, self._frames = tuple(self._frames), []
            self._receive(frames)

    def _command(self, body: bytes) -> None:
        if body.startswith(b"\x05READY") and not self.is_open:
            self.is_open = True
            self.on_open()
        elif body.startswith(b"\x05ERROR"):
            raise WireError("the peer refuses the connection")


def _framed(body: bytes, flags: int) -> bytes:
    size = len(body)
    if size > _LONGEST_SHORT:
        return bytes((flags | _LONG,)) + size.to_bytes(8, "big") + body
    return bytes((flags, size)) + body


def _property(name: bytes, value: bytes) -> bytes:
    return bytes((len(name),)) + name + len(value).to_bytes(4, "big") + value
