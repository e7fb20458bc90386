"""The only place that constructs and connects: from a checked configuration to a running gateway.

Inner layers take plain values; this module translates the configuration into them.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import random
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import uvicorn
import uvloop
from prometheus_client import CollectorRegistry

from config import secret_files
from config.paths import Paths
from config.schema import CapsOf, Config, Upstream, is_loopback, upstream_id
from config.write import public
from engines.adapters import ADAPTERS
from gateway import descriptors, memory
from gateway.administration import audit_log, salt_key, token_file
from gateway.admission import LIMITS, ORDERINGS, Admission, Bounds, Costs, Fair, Ordering
from gateway.allowances import allowances_of
from gateway.api import health
from gateway.api import usage as usages
from gateway.api.admin import directory as admin_directory
from gateway.api.admin import fleet as admin_fleet
from gateway.api.admin import requests as admin_requests
from gateway.api.admin import settings as admin_settings
from gateway.api.admin import usage as admin_usage
from gateway.api.admin.build import admin_app
from gateway.api.admin.door import AdminRoute, Door
from gateway.api.control import public_app
from gateway.audit import AuditError, AuditLog
from gateway.auth.directory.directory import Directory
from gateway.auth.private import KeyFileError
from gateway.balancer import POLICIES
from gateway.budgets import Budgets
from gateway.core.errors import StoreUnavailable
from gateway.core.outcome import End
from gateway.counting import counters_of
from gateway.databases import database_of
from gateway.explain import Recorder
from gateway.fleet.catalog import Catalog
from gateway.fleet.discovery.base import Discovery
from gateway.fleet.discovery.roster import RosterDiscovery
from gateway.fleet.discovery.static import Server, StaticDiscovery
from gateway.fleet.endpoint import parse_address
from gateway.fleet.scraper import Scraper
from gateway.identity import Identity, identity_of
from gateway.ledger import Ledger
from gateway.ledger.drain import Drain
from gateway.ledger.ledger import Sink
from gateway.ledger.reconcile import Reconciler
from gateway.ledger.spool import Spool
from gateway.ledger.store import UsageStore
from gateway.listen import Listener, listen
from gateway.observe import logs
from gateway.observe.counting import SharedMetrics
from gateway.observe.ledger import LedgerMetrics
from gateway.observe.limits import LimitMetrics
from gateway.observe.metrics import Gauge, Metrics
from gateway.observe.reconciling import RECONCILE_EVERY, Reconciling
from gateway.observe.refusals import Refused
from gateway.observe.watchdog import Watchdog
from gateway.openai.rules import Caps, Rules, Treatment
from gateway.proxy.addresses import Proxies
from gateway.proxy.asgi import AsgiDriver
from gateway.proxy.aside import Aside, OneThread
from gateway.proxy.edge import edge_protocol
from gateway.proxy.guard import Guard, HttpLimits
from gateway.proxy.guarded import GuardedProtocol, guarded_protocol
from gateway.proxy.hosts import ANY, Hosts
from gateway.proxy.isolation import Isolation, Share
from gateway.proxy.proxy import SWEEP_EVERY, Proxy, Timeouts
from gateway.ratelimit.base import Counters
from gateway.ratelimit.limiter import Limiter
from gateway.ratelimit.shared.counters import SharedCounters
from gateway.store import Database
from gateway.transport import Http1, Page

if TYPE_CHECKING:
    from types import FrameType

    from fastapi import APIRouter, FastAPI

DISTRIBUTION = "cascadia-gateway"
KEYS_EVERY = 2.0
"""Seconds between two looks at the key file: a revoked key stops working in less than 5 s."""
SCRAPE_EVERY = 0.25
"""Seconds between two looks at which engine is due to be asked for its load."""
ANCHOR_EVERY = 86_400.0
"""Seconds between two anchors of the audit log."""
LONGEST_CLOSE = 5.0
"""Seconds that connections get to close once no call is left."""

YOUNG_OBJECTS = 20_000
"""New objects after which the garbage collector looks at them."""

ProtocolOf = Callable[[Proxy, Guard], type[GuardedProtocol]]
"""Gives what uvicorn takes as `http=`: always within the bounds of a guard, never one of uvicorn's own."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Started:
    """What to tell the operator once requests are taken. Addresses as `http://HOST:PORT` or `unix:/path`."""

    url: str
    admin_url: str


@dataclass(frozen=True, slots=True)
class Gateway:
    """All parts of one gateway process, connected; nothing runs and no socket is open."""

    config: Config
    proxy: Proxy
    catalog: Catalog
    admission: Admission
    transport: Http1
    aside: Aside
    identity: Identity
    limiter: Limiter
    counters: Counters
    budgets: Budgets | None
    """`None` where there are none, or no records of usage."""
    discoveries: tuple[Discovery, ...]
    app: AsgiDriver
    admin: FastAPI
    guard: Guard
    """Of the connections to `app`."""
    admin_guard: Guard
    watchdog: Watchdog
    recorder: Recorder
    audit: AuditLog
    database: Database
    """Opened by who first asks it, never on the way to the first request."""
    scraper: Scraper
    ledger: Ledger | None
    drain: Drain | None
    reconciling: Reconciling | None

    def sweep(self) -> None:
        """End what has waited too long; to be called every `SWEEP_EVERY` seconds."""
        self.proxy.sweep()
        self.guard.sweep()
        self.admin_guard.sweep()


def own_version() -> str:
    """The version of the installed distribution, `unknown` when run from a tree that is not installed."""
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return "unknown"


def build(
    config: Config,
    paths: Paths,
    *,
    on_end: Callable[[End], None] = lambda _: None,
    clock: Callable[[], float] = time.monotonic,
    rng: random.Random | None = None,
    aside: Aside | None = None,
    sink: Sink | None = None,
    now: Callable[[], float] = time.time,
) -> Gateway:
    """Connect the parts that `config` asks for. Opens no socket. `rng` gives request ids; one of its own by default.

    `aside` reads large bodies; by default one thread, which the first of them starts. `sink` takes the records of the
    ledger, and a spool is emptied into the database; without one there is no ledger. `now` gives Unix
    seconds for them and for budgets.

    Raises `KeyFileError` when the API keys cannot be read, `DirectoryConflict` when they contradict `config`,
    `SecretFileError` when an upstream's key or the database's or Redis's password cannot be read, `CountingError` when
    the certificates of Redis cannot.
    """
    aside = aside or OneThread()
    database = database_of(config, paths)
    registry = CollectorRegistry()
    metrics = Metrics(registry, own_version())
    admission = _admission(config, clock, metrics)
    transport = Http1(connect_seconds=config.timeouts.connect, clock=clock)
    catalog = Catalog(on_gone=transport.forget, clock=clock)
    chance = rng or random.Random()  # noqa: S311 - request ids are names and no secrets: a system call less each
    identity = identity_of(config, paths, database)
    ledger = None if sink is None else _ledger(config, sink, now, chance)
    allowances = allowances_of(config)
    counters = counters_of(config, paths, clock=clock, wall=now, rng=chance)
    limiter = Limiter(allowances, counters)
    registry.register(LimitMetrics(limiter.tally))
    if isinstance(counters, SharedCounters):
        registry.register(SharedMetrics(counters.state))
    watchdog = Watchdog()
    audit = audit_log(paths)
    door = Door(token_file(paths), identity.authenticator, audit, clock)
    recorder = Recorder(max_records=config.explain.records, max_bytes=config.explain.max_bytes)

    def ended(end: End) -> None:
        metrics.on_end(end)
        recorder.on_end(end)
        on_end(end)

    proxy = Proxy(
        authenticator=identity.authenticator,
        catalog=catalog,
        admission=admission,
        transport=transport,
        timeouts=Timeouts(
            body=config.timeouts.body,
            queue=config.timeouts.queue,
            first_token=config.timeouts.first_token,
            stall=config.timeouts.stall,
            total=config.timeouts.total,
        ),
        max_body_bytes=config.server.max_body_bytes,
        max_held_bytes=max(memory.limit_bytes() // memory.HELD_SHARE, config.server.max_body_bytes),
        clock=clock,
        rng=chance,
        on_end=ended,
        rules=_rules(config),
        isolation=Isolation(Share(config.isolation.share_prefixes), lambda: salt_key(paths)),
        aside=aside,
        engines_know_tiers=config.admission.engine_priority,
        ledger=ledger,
        limiter=limiter if allowances else None,
    )
    guard = _guard(config, config.server.listen, clock, rng)
    usage = UsageStore(
        database,
        retention_days=config.ledger.retention_days,
        daily_retention_days=config.ledger.daily_retention_days,
        now=now,
    )
    drain: Drain | None = None
    reconciling: Reconciling | None = None
    if isinstance(sink, Spool) and ledger is not None:
        drain = Drain(sink, ledger, usage, clock=clock)
        reconciler = Reconciler(ledger)
        reconciling = Reconciling(catalog, reconciler, clock=clock)
        registry.register(LedgerMetrics(ledger, sink, drain, reconciler))
    registry.register(Refused(lambda: identity.refusals.counts))
    metrics.watch(catalog, admission, _gauges(proxy, guard, watchdog, recorder, door), clock=clock)

    def changed() -> None:
        admission.forget({pool.model for pool in catalog.pools()})
        admission.wake()

    catalog.on_change = changed
    health_routes = partial(
        health.router,
        catalog,
        is_draining=lambda: proxy.is_leaving,
        is_recording=lambda: ledger is None or not ledger.is_full,
        clock=clock,
        limits=partial(_limits, counters),
    )
    return Gateway(
        config=config,
        proxy=proxy,
        catalog=catalog,
        admission=admission,
        transport=transport,
        aside=aside,
        identity=identity,
        discoveries=_discoveries(config, paths, lambda id_: catalog.is_flowing(id_, clock())),
        limiter=limiter,
        counters=counters,
        budgets=Budgets(
            allowances,
            counters,
            database,
            now=now,
            has_left=lambda: isinstance(sink, Spool) and bool(sink.previous),
        )
        if allowances.has_budgets and config.ledger.enabled
        else None,
        app=AsgiDriver(
            proxy,
            public_app(
                catalog,
                identity.authenticator,
                health_routes(detailed=False),
                registry,
                [] if ledger is None else [usages.router(database, identity.authenticator, now=now)],
            ),
        ),
        admin=admin_app(
            health_routes(detailed=True),
            registry,
            door,
            [
                *_administration(door.route_class(), config, identity, catalog, proxy, recorder, clock),
                *(
                    [admin_usage.router(door.route_class(), database, now=now)]
                    if config.ledger.enabled
                    else []
                ),
            ],
            own_version(),
        ),
        audit=audit,
        guard=guard,
        admin_guard=_guard(config, config.server.admin_listen, clock, rng),
        watchdog=watchdog,
        recorder=recorder,
        scraper=Scraper(
            catalog,
            Page(transport),
            {name: adapter.metrics_path for name, adapter in ADAPTERS.items() if adapter.metrics_path},
            clock=clock,
            rng=chance,
        ),
        database=database,
        ledger=ledger,
        drain=drain,
        reconciling=reconciling,
    )


def _admission(config: Config, clock: Callable[[], float], metrics: Metrics) -> Admission:
    wanted = config.admission

    def ordering() -> Ordering:
        if wanted.ordering == "fair":
            crowded = wanted.max_queue // 2 if wanted.newest_first else None
            return Fair(guarantee=wanted.lower_tiers, crowded=crowded)
        return ORDERINGS[wanted.ordering]()

    return Admission(
        POLICIES[wanted.policy],
        clock=clock,
        ordering=ordering,
        bounds=Bounds(wanted.max_queue, wanted.max_queue_tokens, wanted.max_queue_bytes),
        limit=LIMITS[wanted.limit],
        costs=Costs(wanted.prompt_token_cost, wanted.output_token_cost),
        starting_seconds=wanted.max_start_wait if wanted.when_empty == "wait" else 0.0,
        watch=metrics.queues,
    )


def _administration(
    route_class: type[AdminRoute],
    config: Config,
    identity: Identity,
    catalog: Catalog,
    proxy: Proxy,
    recorder: Recorder,
    clock: Callable[[], float],
) -> list[APIRouter]:
    """The routes behind the door."""
    found = [
        admin_requests.router(route_class, recorder, clock=clock, wall_clock=time.time),
        admin_fleet.replica_router(route_class, catalog, clock=clock),
        admin_fleet.quarantine_router(route_class, proxy.quarantine),
        admin_settings.router(route_class, public(config)),
    ]
    if identity.directory is not None:
        found.append(admin_directory.router(route_class, identity.directory))
    return found


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
        spool = _spool(config, paths)
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
                await _until_drained(
                    gateway.proxy,
                    config.server.drain_seconds,
                    stop,
                    delay=config.server.drain_delay_seconds,
                )
        await gateway.transport.close()
        if spool is not None and gateway.drain is not None:
            spool.close()
            await gateway.drain.finish()
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
        _server(gateway.app, protocol(gateway.proxy, gateway.guard)),
        _server(gateway.admin, guarded_protocol(gateway.admin_guard)),
    ]
    background = [discovery.watch(_publish(gateway.catalog, discovery)) for discovery in gateway.discoveries]
    background += [_sweep(gateway), _scrape(gateway.scraper), gateway.watchdog.beat(), _anchor(gateway.audit)]
    if gateway.identity.directory is not None:
        background.append(_follow(gateway.identity.directory))
    if gateway.drain is not None:
        background.append(gateway.drain.run())
    if gateway.reconciling is not None:
        background.append(_reconcile(gateway.reconciling))
    background += [follow() for follow in gateway.identity.followers]
    if isinstance(gateway.counters, SharedCounters):
        background.append(gateway.counters.run())
    if gateway.budgets is not None:
        background.append(gateway.budgets.run())
    with Stop().on_signals() as stop:
        serving = [
            asyncio.create_task(server.serve(sockets=[listener.socket]))
            for server, listener in zip(servers, (public, admin), strict=True)
        ]
        tasks = [asyncio.create_task(_for_ever(work)) for work in background]
        try:
            for server in servers:
                await server.is_up.wait()
            yield stop
        finally:
            for server in servers:
                server.should_exit = True
            await asyncio.gather(*serving)
            gateway.scraper.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _for_ever(work: Coroutine[None, None, None]) -> None:
    """Run a background task. One that fails is a bug: it is told loudly and takes the process down."""
    try:
        await work
    except Exception:
        log.exception("background task failed, stopping")
        signal.raise_signal(signal.SIGTERM)


class Stop:
    """Whether the process was asked to stop, and whether it was asked twice."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.at_once = asyncio.Event()

    @contextlib.contextmanager
    def on_signals(self) -> Iterator[Stop]:
        """Listen to SIGTERM and SIGINT in this block."""
        former = {
            number: signal.signal(number, self._on_signal) for number in (signal.SIGTERM, signal.SIGINT)
        }
        loop = asyncio.get_running_loop()
        for number in former:
            loop.add_signal_handler(number, self._ask)
        try:
            yield self
        finally:
            for number, handler in former.items():
                loop.remove_signal_handler(number)
                signal.signal(number, handler)

    def _on_signal(self, _: int, __: FrameType | None) -> None:
        self._ask()

    def _ask(self) -> None:
        if self.asked.is_set():
            self.at_once.set()
        self.asked.set()


async def _until_drained(proxy: Proxy, drain_seconds: float, stop: Stop, *, delay: float = 0.0) -> None:
    """Serve until asked to stop, and for `delay` seconds more; then refuse what is new and let what runs finish.

    The delay is a load balancer's time to see that this gateway is not ready any more.
    """
    await stop.asked.wait()
    proxy.is_leaving = True
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(delay):
            await stop.at_once.wait()
    proxy.is_draining = True
    log.info("draining", extra={"in_flight": proxy.live})
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(drain_seconds):
            while proxy.live and not stop.at_once.is_set():  # noqa: ASYNC110 - seldom, and the data plane has no events
                await asyncio.sleep(0.05)
    if proxy.live:
        log.warning("cutting what still runs", extra={"in_flight": proxy.live})
        proxy.cut()


async def _sweep(gateway: Gateway) -> None:
    limit = memory.limit_bytes()
    while True:
        await asyncio.sleep(SWEEP_EVERY)
        with contextlib.suppress(OSError):  # no file descriptor is left to look with: it stays as it was
            used = memory.resident_bytes() / limit
            gateway.guard.is_pressed = used > memory.PRESSED
            gateway.proxy.is_full = used > memory.FULL
        gateway.sweep()


async def _anchor(audit: AuditLog) -> None:
    """Tell the log stream once a day where the audit log stands, for who keeps it elsewhere."""
    while True:
        try:
            head = await asyncio.to_thread(audit.head)
            log.info("audit anchor", extra={"seq": head.seq, "hash": head.hash})
        except AuditError as error:
            log.warning("audit log cannot be read", extra={"error": str(error)})
        await asyncio.sleep(ANCHOR_EVERY)


async def _scrape(scraper: Scraper) -> None:
    while True:
        await asyncio.sleep(SCRAPE_EVERY)
        scraper.sweep()


async def _reconcile(reconciling: Reconciling) -> None:
    while True:
        await asyncio.sleep(RECONCILE_EVERY)
        reconciling.sweep()


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


async def _follow(directory: Directory) -> None:
    while True:
        await asyncio.sleep(KEYS_EVERY)
        try:
            if await directory.refresh():
                log.info("API keys reloaded")
        except (KeyFileError, StoreUnavailable) as error:
            log.warning("API keys not reloaded", extra={"error": str(error)})


def _publish(catalog: Catalog, discovery: Discovery) -> Callable[[Sequence[object]], None]:
    return lambda sightings: catalog.publish(discovery.name, sightings)  # type: ignore[arg-type]


class _Server(uvicorn.Server):
    """uvicorn without its own signal handling: this process has one for all its servers."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_up = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        await super().startup(sockets)
        self.is_up.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to `Stop`."""
        yield


def _server(app: AsgiDriver | FastAPI, protocol: type[GuardedProtocol]) -> _Server:
    return _Server(
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


def _guard(config: Config, address: str, clock: Callable[[], float], rng: random.Random | None) -> Guard:
    """The bounds on the connections to `address`."""
    server, timeouts = config.server, config.timeouts
    return Guard(
        HttpLimits(
            header_seconds=timeouts.header,
            body_seconds=timeouts.body,
            idle_seconds=timeouts.idle,
            send_seconds=timeouts.stall,
            connections=server.max_connections,
            connections_per_address=server.max_connections_per_address,
        ),
        Hosts(server.allowed_hosts or (() if _is_rebindable(address) else (ANY,))),
        Proxies(server.trusted_proxies),
        clock=clock,
        rng=rng,
    )


def _is_rebindable(address: str) -> bool:
    """Whether a page in a browser on this machine could call `address` under a name of its own."""
    return is_loopback(address) and not address.startswith("unix:")


def _limits(counters: Counters) -> dict[str, Any]:
    """Where limits are counted, for operators."""
    if not isinstance(counters, SharedCounters):
        return {"store": "memory"}
    state = counters.state()
    return {
        "store": "valkey",
        "counted": "together" if state.is_up else "alone",
        "trouble": state.trouble,
        "gateways": state.gateways,
    }


def _gauges(proxy: Proxy, guard: Guard, watchdog: Watchdog, recorder: Recorder, door: Door) -> list[Gauge]:
    return [
        Gauge(
            "cascadia_requests_in_flight",
            "Calls that are not over, waiting ones included.",
            lambda: proxy.live,
        ),
        Gauge(
            "cascadia_requests_quarantined",
            "Requests that are given to no engine, since engines died under them.",
            proxy.quarantine.held,
        ),
        Gauge(
            "cascadia_held_bytes",
            "Size of the requests and whole answers that are held now.",
            lambda: proxy.held_bytes,
        ),
        Gauge(
            "cascadia_admin_calls_denied",
            "Calls of the administration that were turned away since the start.",
            lambda: door.denied,
        ),
        Gauge(
            "cascadia_explain_records",
            "Requests that are remembered for explanations.",
            recorder.__len__,
        ),
        Gauge("cascadia_connections", "Open connections of clients.", lambda: len(guard)),
        Gauge(
            "cascadia_event_loop_lag_seconds",
            "The longest that the event loop was late since the last scrape.",
            watchdog.worst_lag,
        ),
    ]


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


def _rules(config: Config) -> Rules:
    requests, caps = config.requests, config.caps
    return Rules(
        privileged=Treatment(requests.privileged_fields),
        unknown=Treatment(requests.unknown_fields),
        allowed=frozenset(requests.allowed_fields),
        media_hosts=frozenset(requests.allowed_media_hosts),
        allows_grammars=requests.allow_grammars,
        caps=_caps(caps),
        model_caps={model: _caps(each) for model, each in caps.models.items()},
        key_caps={key: _caps(each) for key, each in caps.keys.items()},
    )


def _caps(caps: CapsOf) -> Caps:
    return Caps(*[getattr(caps, name) for name in Caps._fields])


def _discoveries(config: Config, paths: Paths, is_flowing: Callable[[str], bool]) -> tuple[Discovery, ...]:
    found: list[Discovery] = []
    if config.engines:
        found.append(RosterDiscovery(paths.roster))
    if config.upstreams:
        found.append(
            StaticDiscovery(
                [_upstream(index, upstream) for index, upstream in enumerate(config.upstreams)],
                is_flowing=is_flowing,
            )
        )
    return tuple(found)


def _upstream(index: int, upstream: Upstream) -> Server:
    adapter = ADAPTERS[upstream.engine]
    return Server(
        id=upstream_id(index, upstream),
        address=parse_address(upstream.url),
        engine=upstream.engine,
        models_path=adapter.models_path,
        idle_seconds=adapter.idle_seconds,
        max_in_flight=upstream.max_in_flight,
        api_key=_secret(upstream),
        models=upstream.models,
    )


def _spool(config: Config, paths: Paths) -> Spool | None:
    ledger = config.ledger
    if not ledger.enabled:
        return None
    return Spool(paths.ledger, reserve_bytes=ledger.reserve_bytes, most_bytes=ledger.max_spool_bytes)


def _ledger(config: Config, sink: Sink, now: Callable[[], float], rng: random.Random) -> Ledger:
    return Ledger(sink, now=now, rng=rng, serves_unrecorded=config.ledger.when_full == "serve")


def _secret(upstream: Upstream) -> str | None:
    if upstream.api_key_file is not None:
        return secret_files.read(upstream.api_key_file, os.environ)
    return None if upstream.api_key is None else upstream.api_key.get_secret_value()
