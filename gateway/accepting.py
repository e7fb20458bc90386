"""The listening sockets of several gateway processes: one for each, and nobody's connections wait for who is not there.

On a TCP port every process has a socket of its own (SO_REUSEPORT), to which the kernel gives every so-manieth connection: on
one socket for all, the process that wakes first takes most of a burst, and keeps it. A connection that was given to the
socket of a process that hangs, was killed or is being replaced would wait there; so each process looks into the sockets
of the others now and then, and takes what is left there. The parent holds all of them open from first to last: none is
ever closed with connections in it. A unix socket cannot be had several times: there all share one.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from gateway.listen import listen, listen_again

LOOK_EVERY = 0.05
"""Seconds between two looks into the sockets of the others. One that is well takes its connections sooner."""
MOST_AT_ONCE = 64
"""Connections taken from one of them before the event loop goes on."""


@dataclass(frozen=True, slots=True)
class Sockets:
    """What several processes listen on. `url` is how clients reach it."""

    sockets: Sequence[socket.socket]
    """One for each process, or one for all."""
    url: str

    def of(self, seat: int) -> list[socket.socket]:
        """Those of the process on `seat`: its own first, then those of the others."""
        at = seat % len(self.sockets)
        return [*self.sockets[at:], *self.sockets[:at]]


@contextlib.contextmanager
def listen_for(address: str, seats: int) -> Iterator[Sockets]:
    """Listen on `HOST:PORT` or `unix:/path` for so many processes in this block. Raises `ListenError`."""
    with contextlib.ExitStack() as stack:
        if address.startswith("unix:"):
            one = stack.enter_context(listen(address))
            yield Sockets([one.socket], one.url)
            return
        host, _, port = address.rpartition(":")
        if int(port):
            with listen(address):  # one that is another service's could be had together with it: not here
                pass
        first = stack.enter_context(listen_again(address))
        port = first.url.rpartition(":")[2]
        others = [stack.enter_context(listen_again(f"{host}:{port}")) for _ in range(seats - 1)]
        yield Sockets([each.socket for each in (first, *others)], first.url)


async def take_over(sockets: Sequence[socket.socket], protocol: Callable[[], asyncio.Protocol]) -> None:
    """Take what waits in `sockets` longer than their own process needs to take it, until cancelled."""
    loop = asyncio.get_running_loop()
    while sockets:
        await asyncio.sleep(LOOK_EVERY)
        for each in sockets:
            for connection in _waiting(each):
                with contextlib.suppress(OSError):  # its client has gone
                    await loop.connect_accepted_socket(protocol, connection)


def _waiting(listening: socket.socket) -> Iterator[socket.socket]:
    for _ in range(MOST_AT_ONCE):
        try:
            connection, _ = listening.accept()
        except OSError:  # there is none, or no descriptor for it: then it waits on
            return
        connection.setblocking(False)
        yield connection
