"""Discovered identity of an engine: configuration, frozen. Its live state is a `Replica`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """A unix socket."""

    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """A TCP port in the clear."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


Address = UnixAddress | TcpAddress


def parse_address(text: str) -> Address:
    """Read `unix:/path` or `http://HOST[:PORT]`. Raises `ValueError` for anything else."""
    if text.startswith("unix:/"):
        return UnixAddress(text.removeprefix("unix:"))
    parts = urlsplit(text)
    if parts.scheme != "http" or not parts.hostname:
        raise ValueError(f"not an engine address: {text!r}")
    return TcpAddress(parts.hostname, parts.port or 80)


def parse_socket(text: str) -> Address:
    """Read `ipc:///path` or `tcp://HOST:PORT`, as ZeroMQ writes them. Raises `ValueError` for anything else."""
    if text.startswith("ipc:///"):
        return UnixAddress(text.removeprefix("ipc://"))
    parts = urlsplit(text)
    if parts.scheme != "tcp" or not parts.hostname or not parts.port or parts.path:
        raise ValueError(f"not the address of a ZeroMQ socket: {text!r}")
    return TcpAddress(parts.hostname, parts.port)


@dataclass(frozen=True, slots=True)
class Published:
    """Where an engine publishes what its prefix cache holds."""

    events: Address
    replay: Address
    """Where it can be asked for events again."""
    tokenizer: str
    """Folder with `tokenizer.json` and the chat template of its model."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One engine as discovered. `id` is stable over restarts and safe as a metric label."""

    id: str
    address: Address
    engine: str
    """Adapter name, a key of `engines.adapters.ADAPTERS`."""
    models: tuple[tuple[str, str], ...]
    """Pairs of public model name and the engine's own."""
    api_key: str | None
    max_in_flight: int
    idle_seconds: float
    """How long an idle connection may be kept: less than the engine keeps it itself."""
    published: Published | None = None
    """Where it says what its prefix cache holds, if anywhere."""

    def __repr__(self) -> str:
        return f"<Endpoint {self.id} {self.address}>"


class Condition(StrEnum):
    """What discovery knows of an endpoint. Only `READY` gets work."""

    READY = "ready"
    STARTING = "starting"
    DRAINING = "draining"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Sighting:
    """An endpoint and the condition it was last seen in. `ready_in` is a guess in seconds, `None` when unknown.

    `is_another`: what answers there is not what answered before, and gets no work.
    """

    endpoint: Endpoint
    condition: Condition
    ready_in: float | None = None
    is_another: bool = False
