"""A listening address as a client on this machine reaches it."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx

_EVERYWHERE = {"//0.0.0.0:": "//127.0.0.1:", "//[::]:": "//[::1]:"}


def base_url(url: str) -> str:
    """The base of a listener's URL (`http://HOST:PORT` or `unix:/path`) for a client on this machine."""
    if url.startswith("unix:"):
        return "http://localhost"
    for everywhere, here in _EVERYWHERE.items():
        url = url.replace(everywhere, here)
    return url


def curl_target(url: str, path: str) -> str:
    """The arguments that make curl ask for `path` there, quoted for a shell."""
    target = shlex.quote(base_url(url) + path)
    if url.startswith("unix:"):
        return f"--unix-socket {shlex.quote(url.removeprefix('unix:'))} {target}"
    return target


def open_client(url: str, *, timeout: float) -> httpx.Client:
    """A client for that listener: no proxy, no redirects. The caller closes it."""
    import httpx

    transport = httpx.HTTPTransport(uds=_socket(url))
    return httpx.Client(base_url=base_url(url), transport=transport, timeout=timeout, trust_env=False)


def open_async_client(url: str, *, timeout: float) -> httpx.AsyncClient:
    """The same for an event loop."""
    import httpx

    transport = httpx.AsyncHTTPTransport(uds=_socket(url))
    return httpx.AsyncClient(base_url=base_url(url), transport=transport, timeout=timeout, trust_env=False)


def _socket(url: str) -> str | None:
    return url.removeprefix("unix:") if url.startswith("unix:") else None
