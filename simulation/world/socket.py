"""One end of a simulated connection: an `asyncio.Transport` that behaves as a socket's does.

What is modelled after Linux and asyncio, because code may depend on it: a half-closed peer is an end of file; closing
with unread bytes resets; bytes for a closed socket are answered by a reset; a reset is not noticed while reading is
paused; `abort` drops what this process holds and not what the kernel was given; TCP_USER_TIMEOUT ends a connection on
which nothing is acknowledged.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simulation.world.flow import Flow
    from simulation.world.loop import VirtualLoop
    from simulation.world.trace import Trace

LOW_WATER_SHARE = 4
"""Writing goes on when the buffer has fallen to a fourth of the high-water mark, as in asyncio."""


class Socket(asyncio.Transport):
    """One end. `inward` and `outward` are its two directions, set when the link is made."""

    inward: Flow
    outward: Flow
    peer: Socket

    def __init__(
        self, loop: VirtualLoop, trace: Trace, name: str, *, address: str, peer_address: str
    ) -> None:
        super().__init__()
        self._loop = loop
        self._trace = trace
        self.name = name
        self.address, self.peer_address = address, peer_address
        self._addresses = {"sockname": _pair(address), "peername": _pair(peer_address)}
        self._kernel = _Kernel(self)
        self._protocol: asyncio.BaseProtocol | None = None
        self._buffer = bytearray()
        self._is_started = False
        self._is_reading = True
        self._is_paused = False
        self._wants_eof = False
        self._reset_by_peer = False
        self.is_lost = False
        """Closed for this process, or about to be in this very moment."""
        self.is_closed = False
        """Closed for the kernel: whatever comes is answered by a reset."""
        self._is_closing = False
        self.user_timeout: float | None = None
        self.opened = 0
        """The number of the event with which the connection was begun."""
        self.read_bytes = 0
        self.written_bytes = 0
        self.writes: list[tuple[int, int]] = []
        """Offset and event number of each write."""
        self.read_at = 0.0
        """When it last read something."""
        self.ended_by_peer: float | None = None
        """When it was noticed that the other side, or what is between, ended the connection."""
        self.on_closed: Callable[[Socket], None] = lambda _: None

    def __repr__(self) -> str:
        return f"<Socket {self.name}{' closed' if self.is_closed else ''}>"

    def attach(self, protocol: asyncio.BaseProtocol) -> None:
        """Give the connection to `protocol` and tell it so."""
        self._protocol = protocol
        self._tell("connection_made", self)

    def start(self) -> None:
        """Read from now on."""
        self._is_started = True
        if self._reset_by_peer:
            self._lose(ConnectionResetError())
        else:
            self.inward.arm()

    # --- asyncio.Transport

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """See `asyncio`."""
        return self._kernel if name == "socket" else self._addresses.get(name, default)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """See `asyncio`."""
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """See `asyncio`."""
        assert self._protocol is not None  # noqa: S101 - asked for by whom it was given to
        return self._protocol

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """See `asyncio`."""
        if self._wants_eof:
            raise RuntimeError("Cannot call write() after write_eof()")
        if self.is_lost or not data:
            return
        data = bytes(data)
        self.writes.append((self.written_bytes, self._trace(self.name, "writes", data)))
        self.written_bytes += len(data)
        if self._reset_by_peer:
            self._lose(BrokenPipeError())
            return
        taken = 0 if self._buffer else self.outward.put(data)
        self._buffer += data[taken:]
        if len(self._buffer) > self.outward.wire.high_water_bytes and not self._is_paused:
            self._is_paused = True
            self._tell("pause_writing")

    def writelines(self, list_of_data: Any) -> None:
        """See `asyncio`."""
        self.write(b"".join(list_of_data))

    def write_eof(self) -> None:
        """See `asyncio`."""
        if self._is_closing or self._wants_eof:
            return
        self._wants_eof = True
        if not self._buffer:
            self.outward.finish()

    def can_write_eof(self) -> bool:
        """See `asyncio`."""
        return True

    def get_write_buffer_size(self) -> int:
        """See `asyncio`."""
        return len(self._buffer)

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """See `asyncio`."""
        high = self.outward.wire.high_water_bytes
        return high // LOW_WATER_SHARE, high

    def is_closing(self) -> bool:
        """See `asyncio`."""
        return self._is_closing

    def is_reading(self) -> bool:
        """See `asyncio`."""
        return self._is_reading and not self._is_closing

    def pause_reading(self) -> None:
        """See `asyncio`."""
        self._is_reading = False

    def resume_reading(self) -> None:
        """See `asyncio`."""
        if self._is_closing or self._is_reading:
            return
        self._is_reading = True
        if self._reset_by_peer:
            self._lose(ConnectionResetError())
        else:
            self.inward.arm()

    def close(self) -> None:
        """See `asyncio`: what is buffered is sent first."""
        if self._is_closing:
            return
        self._is_closing = True
        if not self._buffer:
            self._lose(None)

    def abort(self) -> None:
        """See `asyncio`: what is buffered is dropped."""
        self._lose(None)

    # --- what the simulated actors do besides

    def reset(self) -> None:
        """Close by RST, as with SO_LINGER 0."""
        if not self.is_closed:
            self._trace(self.name, "resets")
            self.outward.reset()
        self._lose(None)

    # --- what the two directions tell

    def takes(self) -> bool:
        """Whether this end would read now."""
        return self._is_started and self.is_reading()

    def receive(self, data: bytes) -> None:
        """Bytes are there."""
        self._trace(self.name, "reads", data)
        self.read_bytes += len(data)
        self.read_at = self._loop.time()
        self._tell("data_received", data)

    def receive_end(self) -> None:
        """The other side sends no more."""
        self._trace(self.name, "reads the end")
        self.ended_by_peer = self._loop.time()
        if not self._tell("eof_received"):
            self.close()

    def receive_reset(self) -> None:
        """The other side, or something between, reset the connection."""
        if self.is_lost:
            return
        self._trace(self.name, "is reset")
        self.ended_by_peer = self._loop.time()
        if (self._is_reading and self._is_started) or self._buffer:
            self._lose(ConnectionResetError())
        else:
            self._reset_by_peer = True

    def time_out(self) -> None:
        """Nothing was acknowledged for too long."""
        if not self.is_lost:
            self._trace(self.name, "times out")
            self._lose(TimeoutError())

    def sent(self) -> None:
        """The kernel has room again."""
        if self._buffer and not self.is_lost:
            del self._buffer[: self.outward.put(bytes(self._buffer))]
            if self._is_paused and len(self._buffer) <= self.get_write_buffer_limits()[0]:
                self._is_paused = False
                self._tell("resume_writing")
        if self._buffer or self.is_lost:
            return
        if self._is_closing:
            self._lose(None)
        elif self._wants_eof:
            self.outward.finish()

    def _tell(self, method: str, *arguments: object) -> Any:
        """Call the protocol. What it raises costs it its connection, as in asyncio."""
        if self._protocol is None:
            return None
        try:
            return getattr(self._protocol, method)(*arguments)
        except Exception as error:  # noqa: BLE001 - the outermost edge of whatever runs here
            self._loop.call_exception_handler({"message": f"{self.name}: {method}", "exception": error})
            self._lose(error)

    def _lose(self, error: Exception | None) -> None:
        if self.is_lost:
            return
        self.is_lost = self._is_closing = True
        self._buffer.clear()
        self._loop.call_soon(self._close, error)

    def _close(self, error: Exception | None) -> None:
        self._tell("connection_lost", error)
        self.is_closed = True
        self._protocol = None
        self._trace(self.name, "closes")
        if self.inward.holds_unread():
            self.outward.reset()
        else:
            self.outward.finish()
        self.on_closed(self)


class _Kernel:
    """As much of the socket below a transport as anybody asks for."""

    def __init__(self, owner: Socket) -> None:
        self._owner = owner

    def setsockopt(self, level: int, option: int, value: int) -> None:
        """Take TCP_USER_TIMEOUT (milliseconds), ignore the rest."""
        if (level, option) == (socket.IPPROTO_TCP, getattr(socket, "TCP_USER_TIMEOUT", None)):
            self._owner.user_timeout = value / 1000

    def getpeername(self) -> object:
        """The other end's address."""
        return self._owner.get_extra_info("peername")

    def getsockname(self) -> object:
        """This end's address."""
        return self._owner.get_extra_info("sockname")


def _pair(address: str) -> object:
    """An address as Python's sockets give it."""
    if address.startswith("unix:"):
        return address.removeprefix("unix:")
    host, _, port = address.rpartition(":")
    return (host, int(port))
