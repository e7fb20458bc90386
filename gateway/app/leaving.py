"""How one of several processes gives its seat to another: it takes no new connection, and loses none that it has."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from gateway.app.gateway import Gateway
from gateway.app.servers import Server
from gateway.app.stop import Stop

LOOK_EVERY = 0.1

log = logging.getLogger(__package__)


async def until_left(gateway: Gateway, servers: Sequence[Server], stop: Stop, seconds: float) -> None:
    """Serve what is asked on the connections that are open until their clients have gone, for so many seconds at most.

    Every answer asks its client to connect anew, and a connection on which nothing was asked for a second is closed.
    """
    proxy, guards = gateway.proxy, (gateway.guard, gateway.admin_guard)
    proxy.is_leaving = True
    if gateway.company is not None:
        gateway.company.writer.is_leaving = True
        await gateway.company.writer.leave()
    for server in servers:
        server.stop_accepting()
    log.info("leaving to another process", extra={"connections": sum(map(len, guards))})
    try:
        async with asyncio.timeout(seconds):
            while any(map(len, guards)) and not stop.asked.is_set():
                for guard in guards:
                    guard.is_pressed = True
                    guard.sweep()
                await asyncio.sleep(LOOK_EVERY)
    except TimeoutError:
        log.warning("cutting what still runs", extra={"in_flight": proxy.live})
        proxy.cut()
