"""Where the server is: at one address, behind Sentinels, or as a node of a Cluster.

Sentinels and Clusters are asked each time that a connection is made, which is how a failover is followed.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Final
from urllib.parse import unquote, urlsplit

from gateway.ratelimit.shared.link import Dial, Login
from gateway.ratelimit.shared.resp import ErrorReply, Parser, ProtocolError, Reply, command

DEFAULT_PORT: Final = 6379
SLOT: Final = 5948
"""The slot of a Cluster in which all keys with our tag lie: CRC16 of the tag, modulo 16384."""
_READ_BYTES: Final = 64 * 1024
_ASK_S: Final = 0.5


class Kind(StrEnum):
    """What an address leads to."""

    SERVER = "server"
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


@dataclass(frozen=True, slots=True)
class Place:
    """How to get to the server. `hosts` are alternatives for Sentinels and nodes of a Cluster, else one."""

    hosts: tuple[tuple[str, int], ...] = ()
    path: str | None = None
    """A unix socket in place of hosts."""
    kind: Kind = Kind.SERVER
    master: str = ""
    """What Sentinels call it."""
    tls: ssl.SSLContext | None = None
    login: Login = field(default_factory=Login)

    def dial(self) -> Dial:
        """What a `Link` connects with."""
        return partial(_dial, self)


def place_of(
    url: str,
    *,
    password: str | None = None,
    others: tuple[str, ...] = (),
    kind: Kind = Kind.SERVER,
    master: str = "",
    ca_file: str | None = None,
) -> Place:
    """The place that a checked URL (`redis://`, `rediss://`, `unix://`) names. `others` are HOST:PORT.

    Raises `OSError` when the certificates in `ca_file` cannot be read.
    """
    parts = urlsplit(url)
    user = unquote(parts.username) if parts.username else None
    if parts.scheme == "unix":
        return Place(path=unquote(parts.path), login=Login(user, password))
    database = int(parts.path.strip("/") or 0)
    hosts = [(parts.hostname or "", parts.port or DEFAULT_PORT), *map(_host, others)]
    tls = ssl.create_default_context(cafile=ca_file) if parts.scheme == "rediss" else None
    return Place(hosts=tuple(hosts), kind=kind, master=master, tls=tls, login=Login(user, password, database))


def _host(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


async def _dial(place: Place, protocol: Callable[[], asyncio.Protocol]) -> None:
    loop = asyncio.get_running_loop()
    if place.path is not None:
        await loop.create_unix_connection(protocol, place.path)
        return
    host, port = await _find(place)
    name = host if place.tls else None
    try:
        await loop.create_connection(protocol, host, port, ssl=place.tls, server_hostname=name)
    except (ValueError, OverflowError) as error:  # no host's name, no port
        raise ConnectionError(f"{host!r}, port {port}: {error}") from error


async def _find(place: Place) -> tuple[str, int]:
    """The address of the server that takes writes of our keys. Raises `OSError` when nobody says."""
    if place.kind is Kind.SERVER:
        return place.hosts[0]
    trouble: Exception = LookupError("nobody to ask")
    for host, port in place.hosts:
        try:
            async with asyncio.timeout(_ASK_S):
                if place.kind is Kind.SENTINEL:
                    question = (b"SENTINEL", b"get-master-addr-by-name", place.master.encode())
                    return _master(await _ask(place, host, port, question))
                return _owner(await _ask(place, host, port, (b"CLUSTER", b"SLOTS")), host)
        except (OSError, ErrorReply, ProtocolError, LookupError, ValueError, OverflowError) as error:
            trouble = error  # the last two: a number, a text or a host that is none
    raise ConnectionError(f"{place.kind.value}: {str(trouble) or type(trouble).__name__}")


async def _ask(place: Place, host: str, port: int, question: tuple[bytes, ...]) -> Reply:
    """The answer to one question, over a connection of its own."""
    name = host if place.tls else None
    reader, writer = await asyncio.open_connection(host, port, ssl=place.tls, server_hostname=name)
    try:
        asked = [question]
        if place.login.password is not None:
            user = [] if place.login.user is None else [place.login.user.encode()]
            asked.insert(0, (b"AUTH", *user, place.login.password.encode()))
        writer.write(b"".join(command(*words) for words in asked))
        parser, replies = Parser(), list[Reply]()
        while len(replies) < len(asked):
            data = await reader.read(_READ_BYTES)
            if not data:
                raise ConnectionError("it closed the connection")
            replies += parser.feed(data)
    finally:
        writer.transport.abort()
    for reply in replies:
        if isinstance(reply, ErrorReply):
            raise reply
    return replies[-1]


def _master(answer: Reply) -> tuple[str, int]:
    """What a Sentinel says. Raises `LookupError`."""
    if not isinstance(answer, list) or len(answer) != 2:  # noqa: PLR2004 - host and port
        raise LookupError("it knows no master of that name")
    return _text(answer[0]), int(_text(answer[1]))


def _owner(rows: Reply, asked: str) -> tuple[str, int]:
    """The master of our slot in the answer to CLUSTER SLOTS. An empty host is the one that was asked."""
    for row in rows if isinstance(rows, list) else []:
        match row:
            case [int(first), int(last), [host, int(port), *_], *_] if first <= SLOT <= last:
                return _text(host) or asked, port
            case _:
                continue
    raise LookupError("no node has the slot of our keys")


def _text(value: Reply) -> str:
    return value.decode() if isinstance(value, bytes) else ""
