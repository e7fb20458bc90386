"""What the parent of several gateway processes tells each on its command line, and the process that is told it."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import msgspec

from gateway.app import LEAVE, Berth, Entrance, Started, run
from gateway.cli.kin import end_with_parent
from gateway.cli.setting import Setting
from gateway.seat import Seat


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A seat, its sockets as descriptors that are inherited, and the one by which the process says that it serves."""

    seat: int
    of: int
    folder: str
    public: tuple[int, ...]
    """Its own first, then those of the others."""
    admin: tuple[int, ...]
    url: str
    admin_url: str
    joins: bool
    up: int


def serve_seated(setting: Setting, parent: int, text: str) -> int:
    """Serve on the place that `text` describes, until told to stop or to leave; returns the exit code.

    When the parent is killed the process leaves: it frees the addresses at once, and finishes what it has.
    """
    place = msgspec.json.decode(text, type=Place)
    end_with_parent(parent, LEAVE)

    def announce(_: Started) -> None:
        os.write(place.up, b"up\n")
        os.close(place.up)

    return run(
        setting.config,
        setting.paths,
        announce=announce,
        berth=Berth(
            Seat(place.seat, place.of, Path(place.folder)),
            _entrance(place.public, place.url),
            _entrance(place.admin, place.admin_url),
            joins=place.joins,
        ),
    )


def _entrance(descriptors: tuple[int, ...], url: str) -> Entrance:
    own, *others = [socket.socket(fileno=each) for each in descriptors]
    for each in (own, *others):
        each.setblocking(False)
    return Entrance(own, url, others)
