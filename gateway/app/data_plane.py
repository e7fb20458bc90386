"""From the configuration to the path of a call: the bounds on its connection, its rules, its place in the queue."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial

from config.paths import Paths
from config.schema import CapsOf, Config, is_loopback
from gateway import memory
from gateway.administration import salt_key
from gateway.admission import LIMITS, ORDERINGS, Admission, Bounds, Costs, Fair, Ordering, Watch
from gateway.app.prefixes import Prefixes
from gateway.auth.base import Authenticator
from gateway.balancer import POLICIES, Policy
from gateway.balancer.scored import Scored
from gateway.core.outcome import OnEnd
from gateway.fleet.catalog import Catalog
from gateway.ledger import Ledger
from gateway.openai.rules import Caps, Rules, Treatment
from gateway.proxy.addresses import Proxies
from gateway.proxy.aside import Aside
from gateway.proxy.guard import Guard, HttpLimits
from gateway.proxy.hosts import ANY, Hosts
from gateway.proxy.isolation import Isolation, Share
from gateway.proxy.proxy import Proxy, Timeouts
from gateway.ratelimit.limiter import Limiter
from gateway.seat import Seat
from gateway.transport import Http1


def proxy_of(
    config: Config,
    *,
    authenticator: Authenticator,
    catalog: Catalog,
    admission: Admission,
    transport: Http1,
    ledger: Ledger | None,
    limiter: Limiter | None,
    aside: Aside,
    isolation: Isolation,
    seat: Seat,
    clock: Callable[[], float],
    rng: random.Random,
    on_end: OnEnd,
) -> Proxy:
    """The data plane of `config`, over the parts that others see as well."""
    timeouts, most = config.timeouts, config.server.max_body_bytes
    return Proxy(
        authenticator=authenticator,
        catalog=catalog,
        admission=admission,
        transport=transport,
        timeouts=Timeouts(
            body=timeouts.body,
            queue=timeouts.queue,
            first_token=timeouts.first_token,
            stall=timeouts.stall,
            total=timeouts.total,
        ),
        max_body_bytes=most,
        max_held_bytes=max(memory.limit_bytes() // memory.HELD_SHARE // seat.of, most),
        clock=clock,
        rng=rng,
        on_end=on_end,
        rules=rules_of(config),
        isolation=isolation,
        aside=aside,
        engines_know_tiers=config.admission.engine_priority,
        ledger=ledger,
        limiter=limiter,
        session_header=config.admission.session_header,
    )


def isolation_of(config: Config, paths: Paths) -> Isolation:
    """Who shares cached prompts with whom."""
    return Isolation(Share(config.isolation.share_prefixes), lambda: salt_key(paths))


def admission_of(
    config: Config, clock: Callable[[], float], watch: Watch, prefixes: Prefixes | None = None
) -> Admission:
    """The queues of `config`. `watch` is told what happens in them; `prefixes` is what engines say of their caches."""
    wanted = config.admission
    policy: Callable[[], Policy] = POLICIES[wanted.policy]
    if prefixes is not None:
        policy = partial(Scored, prefixes.knowledge)

    def ordering() -> Ordering:
        if wanted.ordering == "fair":
            crowded = wanted.max_queue // 2 if wanted.newest_first else None
            return Fair(guarantee=wanted.lower_tiers, crowded=crowded)
        return ORDERINGS[wanted.ordering]()

    return Admission(
        policy,
        clock=clock,
        ordering=ordering,
        bounds=Bounds(wanted.max_queue, wanted.max_queue_tokens, wanted.max_queue_bytes),
        limit=LIMITS[wanted.limit],
        costs=Costs(wanted.prompt_token_cost, wanted.output_token_cost),
        reserve=wanted.reserve if wanted.ordering == "fair" else 0.0,
        starting_seconds=wanted.max_start_wait if wanted.when_empty == "wait" else 0.0,
        watch=watch,
    )


def guard_of(config: Config, address: str, clock: Callable[[], float], rng: random.Random | None) -> Guard:
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


def rules_of(config: Config) -> Rules:
    """What request bodies may hold."""
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
