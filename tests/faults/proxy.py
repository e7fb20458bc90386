"""A proxy that spoils what passes through it, as it is told while it runs: TCP or a unix socket on either side.

Without toxics it is a plain wire: bytes in order, a half-close stays one, a reset is handed on. It knows nothing of
HTTP. Time, pauses and chance are given to it, so that the same seed spoils the same bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from enum import Enum
from pathlib import Path

from tests.faults.toxics import Carry, Cut, Piece, Toxic
from tests.support.peer import Ending

Address = tuple[str, int] | Path
READ_BYTES = 16 * 1024
WAITING_PIECES = 64
"""Pieces that one direction holds before it stops reading: a slow wire must slow down the sender."""


class Direction(Enum):
    """Which way bytes go."""

    UPSTREAM = "upstream"  # from the client to the server
    DOWNSTREAM = "downstream"  # from the server to the client


class FaultProxy:
    """Stands in front of `target`. What it does to bytes is `add`ed and `remove`d by name, for all its connections."""

    def __init__(
        self,
        target: Address,
        *,
        rng: random.Random | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        now: Callable[[], float] | None = None,
    ) -> None:
        self.target = target
        self.rng = rng or random.Random(0)
        self.accepted = 0
        self.carried_bytes = dict.fromkeys(Direction, 0)
        self._sleep = sleep
        self._now = now
        self._toxics: dict[str, tuple[Direction, Toxic]] = {}
        self._server: asyncio.Server | None = None
        self._address: Address | None = None
        self._connections: set[_Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<FaultProxy to {self.target}: {len(self._connections)} connections, {self._toxics}>"

    # --- what a test does with it

    @property
    def address(self) -> Address:
        """Where it listens, or will again."""
        assert self._address is not None
        return self._address

    @property
    def url(self) -> str:
        """The address as a gateway takes it."""
        if isinstance(self.address, Path):
            return f"unix:{self.address}"
        return f"http://{self.address[0]}:{self.address[1]}"

    @property
    def connections(self) -> int:
        """Connections that are open."""
        return len(self._connections)

    def add(self, name: str, toxic: Toxic, direction: Direction = Direction.DOWNSTREAM) -> None:
        """Spoil what passes in `direction` from now on; the toxics of a direction act in the order of adding."""
        self._toxics[name] = (direction, toxic)

    def remove(self, name: str) -> None:
        """Take one back. What it holds still goes its way through it."""
        del self._toxics[name]

    def clear(self) -> None:
        """Be a plain wire again."""
        self._toxics.clear()

    def cut(self, ending: Ending = Ending.RST) -> None:
        """End all connections now."""
        for connection in tuple(self._connections):
            connection.end(ending)

    async def down(self) -> None:
        """Accept nothing more, and drop what is open: connecting is refused."""
        if self._server is not None:
            server, self._server = self._server, None
            server.close()
            self.cut(Ending.FIN)
            await server.wait_closed()

    async def up(self) -> None:
        """Listen again, where it did before."""
        where = self._address
        if isinstance(where, Path):
            where.unlink(missing_ok=True)
            self._server = await asyncio.start_unix_server(self._accept, str(where))
            return
        host, port = where or ("127.0.0.1", 0)
        self._server = await asyncio.start_server(self._accept, host, port)
        self._address = self._server.sockets[0].getsockname()[:2]

    @contextlib.asynccontextmanager
    async def serve(self, path: Path | None = None) -> AsyncIterator[FaultProxy]:
        """Listen in this block: at `path`, or on a free port of 127.0.0.1."""
        self._address = path
        await self.up()
        try:
            yield self
        finally:
            await self.down()
            self.cut()
            for task in tuple(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    # --- what its links ask

    def now(self) -> float:
        """See `World`."""
        return asyncio.get_running_loop().time() if self._now is None else self._now()

    async def sleep(self, seconds: float) -> None:
        """See `World`."""
        await self._sleep(seconds)

    def toxics(self, direction: Direction) -> Sequence[Toxic]:
        """What is to be done to a piece that goes this way, in order."""
        return [toxic for way, toxic in self._toxics.values() if way is direction]

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if isinstance(self.target, Path):
                onward = await asyncio.open_unix_connection(str(self.target))
            else:
                onward = await asyncio.open_connection(*self.target)
        except OSError:
            reset(writer)
            return
        connection = _Connection(self, (reader, writer), onward)
        self._connections.add(connection)
        try:
            await connection.run()
        finally:
            self._connections.discard(connection)


Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _Connection:
    """Two links, and the one end of both."""

    def __init__(self, proxy: FaultProxy, client: Stream, server: Stream) -> None:
        self._writers = (client[1], server[1])
        self._links = (
            _Link(proxy, Direction.UPSTREAM, client[0], server[1]),
            _Link(proxy, Direction.DOWNSTREAM, server[0], client[1]),
        )
        self._told: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()

    def end(self, ending: Ending) -> None:
        """End both sides, whatever is on its way."""
        if not self._told.done():
            self._told.set_result(ending)

    async def run(self) -> None:
        """Carry until both directions have ended, one of them broke, or it is told to end."""
        links = [asyncio.ensure_future(link.run()) for link in self._links]
        both = asyncio.gather(*links)
        try:
            await asyncio.wait((both, self._told), return_when=asyncio.FIRST_COMPLETED)
            if self._told.done():
                raise Cut(self._told.result())
            await both
        except Cut as cut:
            await self._close(cut.ending)
        except OSError:  # a peer reset its side: the other one is told the same
            await self._close(Ending.RST)
        else:
            await self._close(Ending.FIN)
        finally:
            for link in links:
                link.cancel()
            await asyncio.gather(*links, both, return_exceptions=True)
            for writer in self._writers:
                writer.transport.abort()

    async def _close(self, ending: Ending) -> None:
        for writer in self._writers:
            if ending is Ending.RST:
                reset(writer)
            else:
                writer.close()
        await asyncio.gather(*(writer.wait_closed() for writer in self._writers), return_exceptions=True)


class _Link:
    """One direction of one connection."""

    def __init__(
        self,
        proxy: FaultProxy,
        direction: Direction,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._proxy = proxy
        self._direction = direction
        self._reader = reader
        self._writer = writer
        self._pieces: asyncio.Queue[Piece | OSError] = asyncio.Queue(WAITING_PIECES)
        self._carries: dict[Toxic, Carry] = {}

    async def run(self) -> None:
        """Carry to the end. Raises `Cut`, or `OSError` when a peer resets, behind what came before that."""
        reading = asyncio.ensure_future(self._read())
        try:
            while True:
                piece = await self._pieces.get()
                if isinstance(piece, OSError):
                    raise piece
                await self._carry(piece, self._proxy.toxics(self._direction))
                if piece.is_end:
                    return
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _read(self) -> None:
        try:
            while data := await self._reader.read(READ_BYTES):
                await self._pieces.put(Piece(data, self._proxy.now()))
        except OSError as error:
            await self._pieces.put(error)
        else:
            await self._pieces.put(Piece(b"", self._proxy.now()))

    async def _carry(self, piece: Piece, toxics: Sequence[Toxic]) -> None:
        if not toxics:
            await self._write(piece)
            return
        first, *others = toxics
        carry = self._carries.get(first)
        if carry is None:
            carry = self._carries[first] = first.open(self._proxy)
        await carry(piece, lambda out: self._carry(out, others))

    async def _write(self, piece: Piece) -> None:
        if piece.is_end:
            if not self._writer.is_closing():
                self._writer.write_eof()
            return
        self._proxy.carried_bytes[self._direction] += len(piece.data)
        self._writer.write(piece.data)
        await self._writer.drain()


def reset(writer: asyncio.StreamWriter) -> None:
    """Drop a connection by RST. A unix socket knows no such thing: it ends."""
    sock = writer.get_extra_info("socket")  # none any more on the side that was reset
    if sock is not None and sock.family != socket.AF_UNIX:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
