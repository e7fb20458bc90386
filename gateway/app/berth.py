"""What one of several gateway processes is given by its parent: its seat, and the sockets that are open already."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from socket import socket as Socket  # noqa: N812 - so that a field can have its name

from config.schema import Config
from gateway.listen import listen
from gateway.seat import Seat


@dataclass(frozen=True, slots=True)
class Entrance:
    """Where connections come in. `others` are the sockets of the other processes, see `accepting`."""

    socket: Socket
    url: str
    others: Sequence[Socket] = ()


@dataclass(frozen=True, slots=True)
class Berth:
    """One process's part of the service. `joins`: the others serve already, so it may take its time to know the engines."""

    seat: Seat
    public: Entrance
    admin: Entrance
    joins: bool


@contextlib.contextmanager
def entrances(config: Config, berth: Berth | None) -> Iterator[tuple[Entrance, Entrance]]:
    """The API's and the administration's: those of `berth`, or opened in this block. Raises `ListenError`."""
    if berth is not None:
        yield berth.public, berth.admin
        return
    with listen(config.server.listen) as public, listen(config.server.admin_listen) as admin:
        yield Entrance(public.socket, public.url), Entrance(admin.socket, admin.url)
