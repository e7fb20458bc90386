"""A gateway process from its first socket to its last: what is started and ended, and in which order."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace

import uvloop

from config.paths import Paths
from config.schema import Config
from gateway import descriptors
from gateway.app.assembly import build
from gateway.app.background import background_of, for_ever
from gateway.app.gateway import Gateway
from gateway.app.records import spool_of
from gateway.app.servers import server_of
from gateway.app.stop import Stop, until_drained
from gateway.core.errors import StoreUnavailable
from gateway.listen import Listener, listen
from gateway.observe import logs
from gateway.proxy.edge import edge_protocol
from gateway.proxy.guard import Guard
from gateway.proxy.guarded import GuardedProtocol, guarded_protocol
from gateway.proxy.proxy import Proxy

YOUNG_OBJECTS = 20_000
"""New objects after which the garbage collector looks at them."""

ProtocolOf = Callable[[Proxy, Guard], type[GuardedProtocol]]
"""Gives what uvicorn takes as `http=`: always within the bounds of a guard, never one of uvicorn's own."""

log = logging.getLogger(__package__)


@dataclass(frozen=True, slots=True)
class Started:
    """What to tell the operator once requests are taken. Addresses as `http://HOST:PORT` or `unix:/path`."""

    url: str
    admin_url: str


def run(
    config: Config,
    paths: Paths,
    *,
    announce: Callable[[Started], None],
    protocol: ProtocolOf = edge_protocol,
) -> int:
    """Run a gateway until it is told to stop; returns the exit code. See `serve`."""

    def settled(started: Started) -> None:
        _spare_collector()
        announce(started)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(serve(config, paths, announce=settled, protocol=protocol))


def _spare_collector() -> None:
    """Keep the garbage collector off what lives as long as the process.

    A pass over the imported modules stops every call for tens of milliseconds and finds nothing. A call itself leaves
    no cycles behind, so that young objects need no looking after 700 new ones either.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 20, 20)


async def serve(
    config: Config,
    paths: Paths,
    *,
    announce: Callable[[Started], None],
    protocol: ProtocolOf = edge_protocol,
) -> int:
    """Run a gateway: SIGTERM or SIGINT drains it, a second one ends it at once.

    `announce` is called once requests are taken. `protocol` gives what uvicorn is to speak on the public address; with
    a plain `guarded_protocol` the ASGI driver serves every request. Raises `ListenError` when an address cannot be had and
    `KeyFileError` when the API keys cannot be read and `SpoolError` when usage cannot be recorded, all before anything is
    started.
    """
    writer = logs.LineWriter(logs.standard_error())
    render = logs.choose_render(config.logging.format, is_terminal=logs.is_terminal())
    logs.configure(writer, level=config.logging.level, render=render)
    on_end = (
        logs.CallLog(writer, render).on_end if config.logging.level in {"debug", "info"} else lambda _: None
    )
    try:
        spool = spool_of(config, paths)
        gateway = build(config, paths, on_end=on_end, sink=spool)
        await _know_callers(gateway)
        if gateway.budgets is not None:
            await gateway.budgets.recount()
        if spool is not None:
            spool.open()
        _fit(gateway.guard, descriptors.raise_limit())
        if gateway.proxy.isolation is not None:
            gateway.proxy.isolation.prepare()
        with listen(config.server.listen) as public, listen(config.server.admin_listen) as admin:
            async with _running(gateway, public, admin, protocol) as stop:
                announce(Started(public.url, admin.url))
                await until_drained(
                    gateway.proxy,
                    config.server.drain_seconds,
                    stop,
                    delay=config.server.drain_delay_seconds,
                )
        await gateway.transport.close()
        if spool is not None and gateway.drain is not None:
            spool.close()
            await gateway.drain.finish()
            if gateway.clerk is not None:
                await gateway.clerk.close()
            spool.release()
        await gateway.database.close()
        gateway.aside.close()
    finally:
        writer.close()
    return 0


@contextlib.asynccontextmanager
async def _running(
    gateway: Gateway, public: Listener, admin: Listener, protocol: ProtocolOf
) -> AsyncIterator[Stop]:
    """Both servers and the background tasks; ends them in the order in which they are needed."""
    servers = [
        server_of(gateway.app, protocol(gateway.proxy, gateway.guard)),
        server_of(gateway.admin, guarded_protocol(gateway.admin_guard)),
    ]
    with Stop().on_signals() as stop:
        serving = [
            asyncio.create_task(server.serve(sockets=[listener.socket]))
            for server, listener in zip(servers, (public, admin), strict=True)
        ]
        tasks = [asyncio.create_task(for_ever(work)) for work in background_of(gateway)]
        try:
            for server in servers:
                await server.is_up.wait()
            yield stop
        finally:
            for server in servers:
                server.should_exit = True
            await asyncio.gather(*serving)
            gateway.scraper.close()
            if gateway.prefixes is not None:
                gateway.prefixes.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _know_callers(gateway: Gateway) -> None:
    """The first look at the directory. A database that is away stops no start: until it is there, its keys get 503."""
    directory = gateway.identity.directory
    if directory is None:
        return
    try:
        await directory.start()
    except StoreUnavailable as error:
        log.warning("API keys not loaded", extra={"error": str(error)})
    except BaseException:
        await gateway.database.close()  # its threads would outlive the start that failed
        raise


def _fit(guard: Guard, available: int) -> None:
    """Take no more connections than there are file descriptors for."""
    wanted = guard.limits.connections
    room = descriptors.room_for(wanted, available)
    if room < wanted:
        guard.limits = replace(guard.limits, connections=room)
        log.warning(
            "fewer connections than configured: too few file descriptors",
            extra={"max_connections": room, "configured": wanted, "descriptors": available},
        )
