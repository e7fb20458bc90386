"""Connects the parts of one gateway, from the engines inwards to the two applications."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version

from prometheus_client import CollectorRegistry

from config.paths import Paths
from config.schema import Config
from gateway.administration import audit_log, token_file
from gateway.allowances import allowances_of
from gateway.api.admin.door import Door
from gateway.app.company import company_of
from gateway.app.control_plane import administration_of, health_of, public_of, standing_of
from gateway.app.data_plane import admission_of, guard_of, isolation_of, proxy_of
from gateway.app.engines import discoveries_of, scraper_of
from gateway.app.gateway import Gateway
from gateway.app.gauges import gauges_of
from gateway.app.prefixes import prefixes_of
from gateway.app.records import budgets_of, records_of
from gateway.app.routes import routes_of
from gateway.core.outcome import End
from gateway.counting import counters_of
from gateway.databases import database_of
from gateway.explain import Recorder
from gateway.fleet.catalog import Catalog
from gateway.identity import identity_of
from gateway.ledger.ledger import Sink
from gateway.observe.counting import SharedMetrics
from gateway.observe.limits import LimitMetrics
from gateway.observe.metrics import Metrics
from gateway.observe.refusals import Refused
from gateway.observe.watchdog import Watchdog
from gateway.proxy.asgi import AsgiDriver
from gateway.proxy.aside import Aside, OneThread
from gateway.ratelimit.limiter import Limiter
from gateway.ratelimit.shared.counters import SharedCounters
from gateway.seat import ALONE, Seat, share_of
from gateway.transport import Http1

DISTRIBUTION = "cascadia-gateway"


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
    seat: Seat = ALONE,
) -> Gateway:
    """Connect the parts that `config` asks for. Opens no socket. `rng` gives request ids; one of its own by default.

    `aside` reads large bodies; by default one thread, which the first of them starts. `sink` takes the records of the
    ledger, and a spool is emptied into the database; without one there is no ledger. `now` gives Unix
    seconds for them and for budgets. `seat` says which of several processes this is.

    Raises `KeyFileError` when the API keys cannot be read, `DirectoryConflict` when they contradict `config`,
    `SecretFileError` when an upstream's key or the database's or Redis's password cannot be read, `CountingError` when
    the certificates of Redis cannot, `MissingPackage` when what `admission.prefix_source` needs is not installed.
    """
    whole, config = config, share_of(config, seat)
    aside = aside or OneThread()
    chance = rng or random.Random()  # noqa: S311 - request ids are names and no secrets: a system call less each
    registry = CollectorRegistry()
    metrics = Metrics(registry, own_version())
    watchdog = Watchdog()
    recorder = Recorder(max_records=config.explain.records, max_bytes=config.explain.max_bytes)
    transport = Http1(connect_seconds=config.timeouts.connect, clock=clock)
    catalog = Catalog(on_gone=transport.forget, clock=clock, routes=routes_of(config))
    isolation = isolation_of(config, paths)
    prefixes = prefixes_of(config, catalog, isolation, clock=clock)
    admission = admission_of(config, clock, metrics.queues, prefixes)
    database = database_of(config, paths)
    identity = identity_of(config, paths, database)
    allowances = allowances_of(config)
    records = records_of(
        config, paths, sink, database, catalog, allowances, clock=clock, now=now, rng=chance, seat=seat
    )
    counters = counters_of(config, paths, clock=clock, wall=now, rng=chance)
    limiter = Limiter(allowances, counters)
    audit = audit_log(paths)
    door = Door(token_file(paths), identity.authenticator, audit, clock)

    def ended(end: End) -> None:
        metrics.on_end(end)
        if end.asked is not None:
            metrics.routed.on_end(end)
        recorder.on_end(end)
        on_end(end)

    def changed() -> None:
        admission.forget({pool.model for pool in catalog.pools()})
        admission.wake()

    catalog.on_change = changed
    proxy = proxy_of(
        config,
        authenticator=identity.authenticator,
        catalog=catalog,
        admission=admission,
        transport=transport,
        ledger=records.ledger,
        limiter=limiter if allowances else None,
        aside=aside,
        isolation=isolation,
        seat=seat,
        clock=clock,
        rng=chance,
        on_end=ended,
    )
    guard = guard_of(config, config.server.listen, clock, rng)
    registry.register(LimitMetrics(limiter.tally))
    if isinstance(counters, SharedCounters):
        registry.register(SharedMetrics(counters.state))
    if records.metrics is not None:
        registry.register(records.metrics)
    if prefixes is not None:
        registry.register(prefixes.metrics(catalog, admission))
    registry.register(Refused(lambda: identity.refusals.counts))
    metrics.watch(catalog, admission, gauges_of(proxy, guard, watchdog, recorder, door), clock=clock)
    stand = standing_of(catalog, proxy, records.ledger, counters, clock=clock)
    inside_guard = guard_of(config, "unix:", clock, rng)
    company = company_of(seat, registry, stand, catalog, proxy, recorder, inside_guard, clock=clock, now=now)
    if company is not None:
        door.spread = company.spread
    health = health_of(stand, company)
    return Gateway(
        config=config,
        proxy=proxy,
        catalog=catalog,
        admission=admission,
        transport=transport,
        aside=aside,
        identity=identity,
        discoveries=discoveries_of(config, paths, lambda id_: catalog.is_flowing(id_, clock())),
        limiter=limiter,
        counters=counters,
        budgets=budgets_of(config, allowances, counters, database, sink, now=now),
        app=AsgiDriver(
            proxy,
            public_of(
                catalog,
                identity,
                database,
                health,
                registry,
                is_recording=records.ledger is not None,
                now=now,
            ),
        ),
        admin=administration_of(
            whole,
            door,
            audit,
            identity,
            catalog,
            proxy,
            recorder,
            database,
            health,
            registry if company is None else company.registry,
            own_version(),
            clock=clock,
            now=now,
        ),
        guard=guard,
        admin_guard=guard_of(config, config.server.admin_listen, clock, rng),
        watchdog=watchdog,
        recorder=recorder,
        audit=audit,
        database=database,
        prefixes=prefixes,
        scraper=scraper_of(catalog, transport, clock=clock, rng=chance),
        ledger=records.ledger,
        drain=records.drain,
        clerk=records.clerk,
        reconciling=records.reconciling,
        adoption=records.adoption,
        seat=seat,
        company=company,
    )


def own_version() -> str:
    """The version of the installed distribution, `unknown` when run from a tree that is not installed."""
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return "unknown"
