"""Where a worker listens: a unix socket in a private folder, or a port of 127.0.0.1."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class UnixSocket:
    """A socket file. The engine neither makes its folder nor removes a stale file: the launcher does."""

    path: Path

    @property
    def url(self) -> str:
        """The address as the roster publishes it."""
        return f"unix:{self.path}"

    @property
    def flags(self) -> tuple[str, ...]:
        """The engine's flags that make it listen here."""
        return ("--uds", str(self.path))


@dataclass(frozen=True, slots=True)
class TcpPort:
    """A port of the loopback interface."""

    port: int

    @property
    def url(self) -> str:
        """The address as the roster publishes it."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def flags(self) -> tuple[str, ...]:
        """The engine's flags that make it listen here."""
        return ("--host", LOOPBACK, "--port", str(self.port))


Address = UnixSocket | TcpPort


def free_port() -> int:
    """A loopback port that nobody held a moment ago.

    Another process may take it before the engine binds; the engine then exits, and the next start takes another.
    """
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
    return port
