"""From the configuration to where engines are named, and who asks them for their load."""

from __future__ import annotations

import os
import random
from collections.abc import Callable

from config import secret_files
from config.paths import Paths
from config.schema import Config, Events, Upstream, upstream_id
from engines.adapters import ADAPTERS
from gateway.fleet.catalog import Catalog
from gateway.fleet.discovery.base import Discovery
from gateway.fleet.discovery.roster import RosterDiscovery
from gateway.fleet.discovery.static import Server, StaticDiscovery
from gateway.fleet.endpoint import Published, parse_address, parse_socket
from gateway.fleet.scraper import Scraper
from gateway.transport import Http1, Page


def discoveries_of(config: Config, paths: Paths, is_flowing: Callable[[str], bool]) -> tuple[Discovery, ...]:
    """The roster of this machine's workers, the upstreams. Raises `SecretFileError` when an upstream's key cannot be read."""
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


def scraper_of(
    catalog: Catalog, transport: Http1, *, clock: Callable[[], float], rng: random.Random
) -> Scraper:
    """Asks each replica of `catalog` for its load, where its software tells it."""
    return Scraper(
        catalog,
        Page(transport),
        {name: adapter.metrics_path for name, adapter in ADAPTERS.items() if adapter.metrics_path},
        clock=clock,
        rng=rng,
    )


def _upstream(index: int, upstream: Upstream) -> Server:
    adapter = ADAPTERS[upstream.engine]
    return Server(
        id=upstream_id(index, upstream),
        address=parse_address(upstream.url),
        engine=upstream.engine,
        models_path=adapter.models_path,
        idle_seconds=adapter.idle_seconds,
        max_in_flight=upstream.max_in_flight,
        api_key=secret_files.secret_of(upstream.api_key, upstream.api_key_file, os.environ),
        models=upstream.models,
        published=None if upstream.kv_events is None else _published(upstream.kv_events),
    )


def _published(events: Events) -> Published:
    return Published(
        parse_socket(events.endpoint),
        parse_socket(events.replay_endpoint),
        str(events.tokenizer.expanduser().absolute()),
    )
