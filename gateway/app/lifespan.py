"""A gateway process from its first socket to its last: what is started and ended, and in which order."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace

import uvloop

from config.paths import Paths
from config.schema import Config
from config.schema.server import Server as ServerOf
from gateway import descriptors
from gateway.accepting import take_over
from gateway.app.assembly import build
from gateway.app.background import background_of, for_ever
from gateway.app.berth import Berth, Entrance, entrances
from gateway.app.gateway import Gateway
from gateway.app.leaving import until_left
from gateway.app.records import first_free_spool, spool_of
from gateway.app.servers import Server, server_of
from gateway.app.stop import Stop, until_drained
from gateway.core.errors import StoreUnavailable
from gateway.fleet.pool import serving
from gateway.listen import listen
from gateway.observe import logs
from gateway.observe.calls import CallLog
from gateway.proxy.edge import edge_protocol
from gateway.proxy.guard import Guard
from gateway.proxy.guarded import GuardedProtocol, guarded_protocol
from gateway.proxy.proxy import Proxy
from gateway.seat import ALONE

YOUNG_OBJECTS = 20_000
"""New objects after which the garbage collector looks at them."""

ProtocolOf = Callable[[Proxy, Guard], type[GuardedProtocol]]
"""Gives what uvicorn takes as `http=`: always within the bounds of a guard, never one of uvicorn's own."""

LEAVE = signal.SIGUSR1
"""Has one of several processes leave to another."""
KNOWN_WITHIN = 5.0
"""Seconds that a process which joins others waits to know an engine before it takes connections."""

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
    berth: Berth | None = None,
) -> int:
    """Run a gateway until it is told to stop; returns the exit code. See `serve`."""

    def settled(started: Started) -> None:
        _spare_collector()
        announce(started)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(serve(config, paths, announce=settled, protocol=protocol, berth=berth))


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
    berth: Berth | None = None,
) -> int:
    """Run a gateway: SIGTERM or SIGINT drains it, a second one ends it at once.

    `announce` is called once requests are taken. `protocol` gives what uvicorn is to speak on the public address; with
    a plain `guarded_protocol` the ASGI driver serves every request. One of several processes has a `berth`: it opens no address
    of its own, and SIGUSR1 has it leave to another. Raises `ListenError` when an address cannot be had and
    `KeyFileError` when the API keys cannot be read and `SpoolError` when usage cannot be recorded, all before anything is
    started.
    """
    writer = logs.LineWriter(logs.standard_error())
    render = logs.choose_render(config.logging.format, is_terminal=logs.is_terminal())
    logs.configure(writer, level=config.logging.level, render=render)
    on_end = CallLog(writer, render).on_end if config.logging.level in {"debug", "info"} else lambda _: None
    try:
        seat = ALONE if berth is None else berth.seat
        spool = spool_of(config, paths) if seat.is_alone else first_free_spool(config, paths, seat)
        gateway = build(config, paths, on_end=on_end, sink=spool, seat=seat)
        await _know_callers(gateway)
        if spool is not None and seat.is_alone:
            spool.open()
        if gateway.budgets is not None:
            await gateway.budgets.begin()
        _fit(gateway.guard, descriptors.raise_limit())
        if gateway.proxy.isolation is not None:
            gateway.proxy.isolation.prepare()
        with entrances(config, berth) as (public, admin):
            async with _running(
                gateway, public, admin, protocol, joins=berth is not None and berth.joins
            ) as run:
                announce(Started(public.url, admin.url))
                await _until_over(gateway, run, config.server)
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


@dataclass(frozen=True, slots=True)
class _Run:
    """What has to be told when the gateway is to end."""

    stop: Stop
    servers: Sequence[Server]
    """Those that take connections of clients."""
    taking: Sequence[asyncio.Task[None]]
    """What takes connections from the sockets of other processes."""


async def _until_over(gateway: Gateway, run: _Run, server: ServerOf) -> None:
    """Serve until asked to stop, or to leave; then until what runs is over."""
    asked = [asyncio.create_task(each.wait()) for each in (run.stop.asked, run.stop.to_leave)]
    await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
    for each in asked:
        each.cancel()
    if not run.stop.asked.is_set():
        for task in run.taking:
            task.cancel()
        await until_left(gateway, run.servers, run.stop, server.drain_seconds)
    if run.stop.asked.is_set():
        await until_drained(gateway.proxy, server.drain_seconds, run.stop, delay=server.drain_delay_seconds)


@contextlib.asynccontextmanager
async def _running(
    gateway: Gateway, public: Entrance, admin: Entrance, protocol: ProtocolOf, *, joins: bool
) -> AsyncIterator[_Run]:
    """All servers and the background tasks; ends them in the order in which they are needed."""
    entrances = (public, admin)
    servers = [
        server_of(gateway.app, protocol(gateway.proxy, gateway.guard)),
        server_of(gateway.admin, guarded_protocol(gateway.admin_guard)),
    ]
    company = gateway.company
    with contextlib.ExitStack() as stack:
        stop = stack.enter_context(Stop().on_signals(None if company is None else LEAVE))
        doors = list(zip(servers, [each.socket for each in entrances], strict=True))
        running: list[asyncio.Task[None]] = []
        if company is not None:
            # First: an order to all processes reaches this one before it has anything to say.
            inside = stack.enter_context(listen(f"unix:{company.socket}"))
            private = server_of(company.inside, guarded_protocol(company.guard))
            running.append(asyncio.create_task(private.serve(sockets=[inside.socket])))
            await private.is_up.wait()
            gateway.catalog.keep_drained(company.drained())
        tasks = [asyncio.create_task(for_ever(work)) for work in background_of(gateway)]
        if joins:
            await _until_known(gateway)
        running += [asyncio.create_task(server.serve(sockets=[door])) for server, door in doors]
        if company is not None:
            doors.append((private, inside.socket))
        try:
            for server, _ in doors:
                await server.is_up.wait()
            if company is not None:
                company.writer.is_joining = False
                await company.writer.leave()
            taking = [
                asyncio.create_task(for_ever(take_over(entrance.others, server.connected)))
                for server, entrance in zip(servers, entrances, strict=True)
                if entrance.others
            ]
            tasks += taking
            yield _Run(stop, servers, taking)
        finally:
            for server, _ in doors:
                server.should_exit = True
            await asyncio.gather(*running)
            if company is not None:
                # The last word: what was counted since the note before counts too.
                await company.writer.leave()
            gateway.scraper.close()
            if gateway.prefixes is not None:
                gateway.prefixes.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _until_known(gateway: Gateway) -> None:
    """Wait until an engine is known that is ready, but not for ever: a process that joins others has not to refuse calls."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + KNOWN_WITHIN
    while not serving(gateway.catalog.replicas()) and clock() < deadline:  # noqa: ASYNC110 - once, and the catalog has no events
        await asyncio.sleep(0.02)


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
