"""Whether the configured Redis answers."""

from __future__ import annotations

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from config import secret_files
from config.schema import Redis
from gateway.counting import password as password_of


class RedisTrouble(Exception):
    """The server cannot be used; the text says why, without the password."""


def ping(config: Redis, *, timeout_s: float) -> str:
    """Ask the server once, and name what answered. Raises `RedisTrouble`."""
    try:
        password = password_of(config)
    except secret_files.SecretFileError as error:
        raise RedisTrouble(f"{config.password_file}: {error}") from error
    client = redis.Redis.from_url(
        config.url,
        password=password,
        socket_connect_timeout=timeout_s,
        socket_timeout=timeout_s,
        retry=Retry(NoBackoff(), 0),
    )
    try:
        with client:
            facts = client.info("server")
    except redis.RedisError as error:
        raise RedisTrouble(str(error) or type(error).__name__) from error
    name = facts.get("server_name", "redis")
    return f"{name} {facts.get(f'{name}_version', facts.get('redis_version', 'unknown'))} answers"
