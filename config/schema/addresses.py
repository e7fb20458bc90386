"""How addresses are written: where to listen, and where engines, databases and other hosts are."""

from __future__ import annotations

import re
from ipaddress import ip_address, ip_network
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator

from gateway.store.place import postgres

_LISTEN = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(?P<port>\d{1,5})")
_HOST_NAME = re.compile(r"(?=.{1,253}$)[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_HIGHEST_PORT = 65535
_MEDIA_HOST = re.compile(
    r"(?=.{1,253}\Z)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?"
)
"""A host by name. The last label begins with a letter: what ends in a number is an address (WHATWG URL, 3.5)."""


def is_loopback(listen: str) -> bool:
    """Whether an address that passed as `Listen` can be reached from this machine alone."""
    if listen.startswith("unix:"):
        return True
    host = listen.rpartition(":")[0].strip("[]")
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _listen(value: str) -> str:
    if value.startswith("unix:/"):
        return value
    match = _LISTEN.fullmatch(value)
    if match is None or int(match["port"]) > _HIGHEST_PORT:
        raise ValueError("expected HOST:PORT (port 0 to 65535) or unix:/absolute/path")
    return value


def _split(value: str, expected: str) -> SplitResult:
    """The parts of a URL. Raises `ValueError`, naming what was `expected`, when its port is none."""
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError:
        raise ValueError(f"expected {expected}: the port is not a number") from None
    return parts


def _upstream_url(value: str) -> str:
    if value.startswith("unix:/"):
        return value
    parts = _split(value, "http://HOST[:PORT] or unix:/absolute/path")
    if parts.scheme != "http" or not parts.hostname:
        raise ValueError("expected http://HOST[:PORT] or unix:/absolute/path")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("an upstream URL holds no credentials, query or fragment: use api_key")
    if parts.path not in {"", "/", "/v1", "/v1/"}:
        raise ValueError("an upstream URL has no path: the gateway adds /v1/... itself")
    return value


def _socket_address(value: str) -> str:
    parts = _split(value, "ipc:///absolute/path or tcp://HOST:PORT")
    is_tcp = (
        parts.scheme == "tcp" and parts.hostname and parts.port and parts.hostname != "*" and not parts.path
    )
    if not (value.startswith("ipc:///") or is_tcp):
        raise ValueError("expected ipc:///absolute/path or tcp://HOST:PORT")
    return value


def _redis_url(value: str) -> str:
    parts = _split(value, "redis://HOST[:PORT][/DB]")
    if parts.scheme not in {"redis", "rediss", "unix"} or not (parts.hostname or parts.scheme == "unix"):
        raise ValueError("expected redis://HOST[:PORT][/DB], rediss://HOST[:PORT][/DB] or unix:///path")
    if parts.password:
        raise ValueError("a Redis URL holds no password: use password or password_file")
    if parts.scheme != "unix" and parts.path.strip("/") and not parts.path.strip("/").isdigit():
        raise ValueError("expected redis://HOST[:PORT][/DB]: DB is a number")
    return value


def _host_port(value: str) -> str:
    match = _LISTEN.fullmatch(value)
    if match is None or not 0 < int(match["port"]) <= _HIGHEST_PORT:
        raise ValueError("expected HOST:PORT (port 1 to 65535)")
    return value


def _database_url(value: str) -> str:
    postgres(value)
    return value


def _host_name(value: str) -> str:
    if value != "*" and not _HOST_NAME.fullmatch(value):
        raise ValueError("expected a host name without a port, or '*'")
    return value


def _network(value: str) -> str:
    try:
        ip_network(value)
    except ValueError:
        raise ValueError("expected an address or a network such as 10.0.0.0/8, without host bits") from None
    return value


def _media_host(value: str) -> str:
    if not _MEDIA_HOST.fullmatch(value):
        raise ValueError(
            "expected the name of one host in lower case, as media.example.org: no URL, port or address"
        )
    return value


def _issuer_url(value: str) -> str:
    parts = _split(value, "https://HOST[:PORT]/PATH")
    is_local = parts.scheme == "http" and parts.hostname and is_loopback(f"{parts.hostname}:0")
    if not (parts.hostname and (parts.scheme == "https" or is_local)) or parts.username or parts.password:
        raise ValueError("expected https://HOST[:PORT]/PATH; http only on this machine")
    return value


Listen = Annotated[str, AfterValidator(_listen)]
UpstreamUrl = Annotated[str, AfterValidator(_upstream_url)]
SocketAddress = Annotated[str, AfterValidator(_socket_address)]
HostPort = Annotated[str, AfterValidator(_host_port)]
RedisUrl = Annotated[str, AfterValidator(_redis_url)]
DatabaseUrl = Annotated[str, AfterValidator(_database_url)]
HostName = Annotated[str, AfterValidator(_host_name)]
Network = Annotated[str, AfterValidator(_network)]
MediaHost = Annotated[str, AfterValidator(_media_host)]
IssuerUrl = Annotated[str, AfterValidator(_issuer_url)]
