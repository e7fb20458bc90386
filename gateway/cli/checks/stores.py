"""What is kept: API keys, and what several gateways share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from gateway.cli.checks.finding import Finding, Level
from gateway.cli.setting import Setting

_REDIS_TIMEOUT_S: Final = 1.0


def keys(setting: Setting) -> Iterator[Finding]:
    """Whether anybody can call."""
    from gateway.auth.private import KeyFileError
    from gateway.identity import key_file

    if setting.config.auth.mode == "anonymous":
        yield Finding(
            "API keys", Level.WARN, "switched off: everybody may call", "cascadia config show --why"
        )
        return
    file = key_file(setting.config, setting.paths)
    try:
        valid = [record for record in file.records() if record.revoked_at is None]
        is_first = setting.config.identity.store == "file" and file.is_first()
        if file.path.exists():
            file.pepper()
    except KeyFileError as error:
        yield Finding("API keys", Level.FAIL, str(error), f"ls -l {file.path} {file.pepper_path}")
        return
    if is_first:
        yield Finding("API keys", Level.OK, "none yet; the first start makes one")
    elif not valid:
        yield Finding("API keys", Level.WARN, "all keys are revoked", "cascadia keys create NAME")
    else:
        yield Finding("API keys", Level.OK, f"{len(valid)} valid")


def redis(setting: Setting) -> Iterator[Finding]:
    """Whether the configured server answers, or the embedded one can be run."""
    if setting.config.redis is None:
        yield _embedded(setting)
        return
    from gateway.cli.redis_server import RedisTrouble, ping

    try:
        found = ping(setting.config.redis, timeout_s=_REDIS_TIMEOUT_S)
    except RedisTrouble as error:
        yield Finding("Redis", Level.FAIL, f"{setting.config.redis.url}: {error}", "redis-cli -u URL ping")
    else:
        yield Finding("Redis", Level.OK, f"{setting.config.redis.url}: {found}")


def _embedded(setting: Setting) -> Finding:
    from gateway.cli import embedded
    from gateway.cli.failure import Failure

    if not embedded.is_wanted(setting.config):
        return Finding("Redis", Level.OK, "not configured, and not needed for one gateway")
    try:
        program = embedded.program()
    except Failure as failure:
        return Finding("Redis", Level.FAIL, failure.cause, "cascadia config show --why")
    return Finding("Redis", Level.OK, f"`cascadia up` runs {program} on {setting.paths.valkey_socket}")
