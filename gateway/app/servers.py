"""uvicorn, as both of the gateway's servers run it: sockets and protocols, and nothing of its own beside them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING

import uvicorn

from gateway.proxy.asgi import AsgiDriver
from gateway.proxy.guarded import GuardedProtocol

if TYPE_CHECKING:
    from fastapi import FastAPI

LONGEST_CLOSE = 5.0
"""Seconds that connections get to close once no call is left."""


class Server(uvicorn.Server):
    """uvicorn without its own signal handling: this process has one for all its servers."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_up = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        await super().startup(sockets)
        self.is_up.set()

    def stop_accepting(self) -> None:
        """Take no new connection; those that are open stay."""
        for each in self.servers:
            each.close()

    def connected(self) -> asyncio.Protocol:
        """A protocol for a connection that was accepted elsewhere."""
        made: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]  # as uvicorn calls it
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return made

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to `Stop`."""
        yield


def server_of(app: AsgiDriver | FastAPI, protocol: type[GuardedProtocol]) -> Server:
    """A server of `app` that speaks `protocol`; it takes its sockets when it serves."""
    return Server(
        uvicorn.Config(
            app,
            http=protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=int(LONGEST_CLOSE),
            backlog=4096,
        )
    )
