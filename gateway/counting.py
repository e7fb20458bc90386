"""From a checked configuration to where limits are counted. For the gateway and the commands."""

from __future__ import annotations

import os
import random
import secrets
import socket
from collections.abc import Callable

from config import secret_files
from config.paths import Paths
from config.schema import Config, Redis
from gateway.allowances import allowances_of
from gateway.ratelimit.base import Counters
from gateway.ratelimit.memory import MemoryCounters
from gateway.ratelimit.shared.census import Census
from gateway.ratelimit.shared.connect import shared_counters
from gateway.ratelimit.shared.place import Kind, Place, place_of


class CountingError(Exception):
    """The configuration names a server that cannot be used so. The text says what and where."""


def is_shared(config: Config) -> bool:
    """Whether limits are counted for several gateways together: where it is said so, and where they have to be."""
    store = config.limits.store
    if store != "auto":
        return store == "valkey"
    return config.redis is not None or (config.server.workers > 1 and bool(allowances_of(config)))


def counters_of(
    config: Config, paths: Paths, *, clock: Callable[[], float], wall: Callable[[], float], rng: random.Random
) -> Counters:
    """The counters that `config` asks for; shared ones are connected once they `run`.

    Raises `SecretFileError` when the password cannot be read, `CountingError` when the certificates cannot.
    """

    def local() -> Counters:
        return MemoryCounters(clock=clock, wall=wall)

    if not is_shared(config):
        return local()
    return shared_counters(
        place(config, paths),
        # Unlike any other gateway's, also of one before on the same host: what that held is not this one's.
        name=f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}",
        local=local,
        clock=clock,
        wall=wall,
        rng=rng,
        refuses_alone=config.limits.without_store == "refuse",
        census=Census(paths.census, expected=config.limits.gateways, wall=wall),
    )


def place(config: Config, paths: Paths) -> Place:
    """Where the server is: the configured one, or the one of `cascadia up`."""
    redis = config.redis
    if redis is None:
        return Place(path=str(paths.valkey_socket.absolute()))
    secret = password(redis)
    try:
        return place_of(
            redis.url,
            password=secret,
            others=redis.others,
            kind=Kind(redis.kind),
            master=redis.master or "",
            ca_file=None if redis.ca_file is None else str(redis.ca_file),
        )
    except OSError as error:
        raise CountingError(f"redis.ca_file: {redis.ca_file}: {error.strerror or error}") from error


def password(redis: Redis) -> str | None:
    """The configured password. Raises `SecretFileError`."""
    return secret_files.secret_of(redis.password, redis.password_file, os.environ)
