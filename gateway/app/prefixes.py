"""From the configuration to what is known of engines' prefix caches. What it needs is imported only where it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from config.schema import Config
from gateway.fleet.catalog import Catalog
from gateway.proxy.aside import OneThread
from gateway.proxy.isolation import Isolation

if TYPE_CHECKING:
    from prometheus_client.registry import Collector

    from gateway.admission import Admission
    from gateway.balancer.precise import Knowledge
    from gateway.fleet.cached import Followers


PACKAGES = ("jinja2", "tokenizers")
"""Of the extra `precise`."""


class MissingPackage(Exception):
    """The configuration asks for what is not installed. The text says what."""


@dataclass(frozen=True, slots=True)
class Prefixes:
    """Who follows the engines' events, and what compares calls with them."""

    followers: Followers
    knowledge: Knowledge
    aside: OneThread

    def sweep(self) -> None:
        """Follow the engines that are there, and load their tokenizers; to be called several times a second."""
        self.followers.sweep()
        self.knowledge.prepare()

    def close(self) -> None:
        """Follow none."""
        self.followers.close()
        self.aside.close()

    def metrics(self, catalog: Catalog, admission: Admission) -> Collector:
        """What operators see of it."""
        from gateway.observe.caches import CacheMetrics  # noqa: PLC0415 - as the rest of it

        return CacheMetrics(
            self.followers,
            lambda: [(pool.model, admission.policy(pool.model)) for pool in catalog.pools()],
        )


def prefixes_of(
    config: Config, catalog: Catalog, isolation: Isolation, *, clock: Callable[[], float]
) -> Prefixes | None:
    """What `admission.prefix_source: events` asks for; `None` with any other. Raises `MissingPackage`."""
    if config.admission.prefix_source != "events":
        return None
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise MissingPackage(
            f"'admission.prefix_source: events' needs {' and '.join(missing)}: not installed"
        )
    from gateway.balancer.precise import Knowledge  # noqa: PLC0415 - 17 MB with what it brings along
    from gateway.fleet.cached import Followers  # noqa: PLC0415 - the same

    aside = OneThread()
    followers = Followers(catalog)
    return Prefixes(followers, Knowledge(followers, aside.run, isolation.salt, clock=clock), aside)
