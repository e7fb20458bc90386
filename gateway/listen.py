"""Opening the sockets a gateway listens on, before anything else is started."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

BACKLOG = 4096
KEEPALIVE = {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 30_000}
"""A client whose cable was cut says no goodbye. Asked after 15 s of silence, it is given up 15 s later; one that does not
acknowledge what it is sent, after 30 s. Seconds, but for the last, which is in milliseconds."""


class ListenError(Exception):
    """An address cannot be listened on. `address` is as configured, `reason` in the system's words."""

    def __init__(self, address: str, reason: str, errno: int | None) -> None:
        super().__init__(f"cannot listen on {address}: {reason}")
        self.address = address
        self.reason = reason
        self.errno = errno


@dataclass(frozen=True, slots=True)
class Listener:
    """An open listening socket and the URL clients reach it by."""

    socket: socket.socket
    url: str


@contextlib.contextmanager
def listen(address: str) -> Iterator[Listener]:
    """Listen on `HOST:PORT` or `unix:/path` in this block. Raises `ListenError`."""
    try:
        listener = (
            _unix(Path(address.removeprefix("unix:")))
            if address.startswith("unix:")
            else _tcp(address, is_shared=False)
        )
    except OSError as error:
        raise ListenError(address, error.strerror or str(error), error.errno) from error
    try:
        yield listener
    finally:
        listener.socket.close()
        if address.startswith("unix:"):
            Path(address.removeprefix("unix:")).unlink(missing_ok=True)


@contextlib.contextmanager
def listen_again(address: str) -> Iterator[Listener]:
    """Listen on `HOST:PORT` beside other sockets of ours that listen there: the kernel spreads connections over them.

    Raises `ListenError`.
    """
    try:
        listener = _tcp(address, is_shared=True)
    except OSError as error:
        raise ListenError(address, error.strerror or str(error), error.errno) from error
    try:
        yield listener
    finally:
        listener.socket.close()


def _tcp(address: str, *, is_shared: bool) -> Listener:
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    family, kind, protocol, _, where = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)[0]
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if is_shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in KEEPALIVE.items():  # a connection has them from the socket that accepted it
            if hasattr(socket, name):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        sock.bind(where)
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    shown = f"[{host}]" if ":" in host else host
    return Listener(sock, f"http://{shown}:{sock.getsockname()[1]}")


def _unix(path: Path) -> Listener:
    """A unix socket for its owner alone. One left by a process that is gone is replaced, one in use is not."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if path.is_socket() and sock.connect_ex(str(path)) != 0:
            path.unlink()
            sock.close()
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.bind(str(path))
        path.chmod(0o600)
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return Listener(sock, f"unix:{path}")
