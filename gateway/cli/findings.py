"""What `cascadia doctor` looks at. Each check gives one finding and changes nothing."""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from config.load import Loaded
from config.paths import Paths, default_data_dir
from config.problems import ConfigErrors
from config.schema import BUNDLED_MODEL, Config, EngineGroup
from gateway.cli.output import Voice
from gateway.cli.setting import Setting, load_setting

LEAST_PYTHON: Final = (3, 11)
LEAST_DISK_BYTES: Final = 1 << 30
LEAST_FILES: Final = 1024
GOOD_FILES: Final = 8192
"""Two descriptors a call, and some thousand calls."""
_REDIS_TIMEOUT_S: Final = 1.0
_CLOCK_UNSYNCHRONISED: Final = 5
"""`TIME_ERROR` of adjtimex(2)."""


class Level(StrEnum):
    """How bad a finding is. `FAIL` means that a start would not succeed."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found; `next_command` mends it."""

    name: str
    level: Level
    found: str
    next_command: str | None = None


def examine(config: Path | None, data_dir: Path | None, voice: Voice) -> list[Finding]:
    """All findings, in the order in which a start would meet them."""
    setting, finding = _configuration(config, data_dir, voice)
    checks: tuple[Callable[[Setting], Iterator[Finding]], ...] = (
        _python,
        _files,
        _clock,
        _data_folder,
        _ports,
        _keys,
        _gpus,
        _engine,
        _models,
        _redis,
    )
    return [finding, *(found for check in checks for found in check(setting))]


def _configuration(config: Path | None, data_dir: Path | None, voice: Voice) -> tuple[Setting, Finding]:
    """The configuration; where it is wrong, the defaults, so that the other checks still say something."""
    try:
        setting = load_setting(config, data_dir, voice)
    except ConfigErrors as errors:
        first = errors.problems[0]
        paths = Paths(data_dir or default_data_dir(os.environ))
        found = f"{first.where}: {first.what} (problem 1 of {len(errors.problems)})"
        return Setting(Loaded(Config(), None, {}), paths), Finding(
            "configuration", Level.FAIL, found, errors.next_command
        )
    source = str(setting.loaded.file) if setting.loaded.file else "no file, defaults in force"
    return setting, Finding("configuration", Level.OK, source)


def _python(_: Setting) -> Iterator[Finding]:
    found = f"Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    enough = sys.version_info >= LEAST_PYTHON and sys.platform == "linux"
    yield Finding(
        "versions", Level.OK if enough else Level.FAIL, found, None if enough else "python3 --version"
    )


def _files(_: Setting) -> Iterator[Finding]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    level = Level.FAIL if soft < LEAST_FILES else Level.WARN if soft < GOOD_FILES else Level.OK
    reach = GOOD_FILES if hard == resource.RLIM_INFINITY else min(hard, GOOD_FILES)
    yield Finding("open files", level, f"limit {soft}", None if level is Level.OK else f"ulimit -n {reach}")


def _clock(_: Setting) -> Iterator[Finding]:
    built = Path(__file__).stat().st_mtime
    if time.time() < built - 86_400:
        yield Finding("clock", Level.FAIL, "before this program was installed", "timedatectl set-ntp true")
        return
    # struct timex has 208 bytes on 64-bit Linux; modes = 0 only reads.
    state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(208))
    if state == _CLOCK_UNSYNCHRONISED:
        yield Finding("clock", Level.WARN, "not synchronised by the kernel", "timedatectl status")
    else:
        yield Finding("clock", Level.OK, "plausible" if state < 0 else "synchronised")


def _data_folder(setting: Setting) -> Iterator[Finding]:
    data = setting.paths.data
    there = next(folder for folder in (data, *data.absolute().parents) if folder.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        yield Finding("data folder", Level.FAIL, f"{there} cannot be written by this user", f"ls -ld {there}")
        return
    is_open = there == data and data.stat().st_mode & 0o077
    yield Finding(
        "data folder",
        Level.WARN if is_open else Level.OK,
        f"{data}, open to others"
        if is_open
        else str(data)
        if there == data
        else f"{data}, made at the first start",
        f"chmod 700 {data}" if is_open else None,
    )
    free = shutil.disk_usage(there).free
    yield Finding(
        "disk",
        Level.OK if free >= LEAST_DISK_BYTES else Level.FAIL,
        f"{free / (1 << 30):.1f} GiB free",
        None if free >= LEAST_DISK_BYTES else f"df -h {there}",
    )


def _ports(setting: Setting) -> Iterator[Finding]:
    from gateway.cli.instance import read_record, refuse_taken, taken
    from gateway.listen import ListenError

    record = read_record(setting.paths.run, "gateway")
    if record is not None:
        yield Finding("API address", Level.OK, f"{record.url}, a gateway runs here: process {record.pid}")
        yield Finding("admin address", Level.OK, record.admin_url)
        return
    for name, address in (
        ("API address", setting.config.server.listen),
        ("admin address", setting.config.server.admin_listen),
    ):
        try:
            refuse_taken([address])
        except ListenError as error:
            yield Finding(
                name, Level.FAIL, taken(error).cause, f"ss -ltnp 'sport = :{address.rpartition(':')[2]}'"
            )
        else:
            yield Finding(name, Level.OK, f"{address} is free")


def _keys(setting: Setting) -> Iterator[Finding]:
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
        if file.path.exists():
            file.pepper()
    except KeyFileError as error:
        yield Finding("API keys", Level.FAIL, str(error), f"ls -l {file.path} {file.pepper_path}")
        return
    if not file.path.exists():
        yield Finding("API keys", Level.OK, "none yet; the first start makes one")
    elif not valid:
        yield Finding("API keys", Level.WARN, "all keys are revoked", "cascadia keys create NAME")
    else:
        yield Finding("API keys", Level.OK, f"{len(valid)} valid")


def _gpus(setting: Setting) -> Iterator[Finding]:
    import pynvml

    from engines.launch.gpus import detect

    found = detect(pynvml)
    for gpu in found:
        if gpu.trouble:
            yield Finding(f"GPU {gpu.index}", Level.WARN, gpu.trouble, "nvidia-smi")
        else:
            free, total = gpu.memory_free_bytes / (1 << 30), gpu.memory_total_bytes / (1 << 30)
            yield Finding(f"GPU {gpu.index}", Level.OK, f"{gpu.name}, {free:.0f} of {total:.0f} GiB free")
    needed = sum((group.gpus_per_replica or 0) * group.replicas for group in setting.config.engines)
    usable = sum(gpu.trouble is None for gpu in found)
    if needed > usable:
        yield Finding("GPUs", Level.FAIL, f"{needed} are configured and {usable} are usable", "nvidia-smi")
    elif not found:
        yield Finding("GPUs", Level.OK, "none: engines run on the CPU")


def _groups(setting: Setting) -> tuple[EngineGroup, ...]:
    """The groups that a start would run; the bundled model where nothing is configured."""
    config = setting.config
    return config.engines or (() if config.upstreams else (EngineGroup(name="tiny"),))


def _engine(setting: Setting) -> Iterator[Finding]:
    from engines.environment import describe

    own = [group for group in _groups(setting) if group.engine == "vllm" and group.python is None]
    for group in _groups(setting):
        if group.python is not None and not os.access(group.python, os.X_OK):
            yield Finding(
                "engine",
                Level.FAIL,
                f"{group.name}: {group.python} cannot be run",
                "cascadia engines install",
            )
    if not own:
        return
    environment = describe(setting.paths.engine_environment)
    if environment is None:
        folder = setting.paths.engine_environment
        yield Finding("engine", Level.FAIL, f"not installed in {folder}", "cascadia engines install")
    else:
        found = f"{environment.engine} {environment.version} for {environment.device.value}"
        yield Finding("engine", Level.OK, found)


def _models(setting: Setting) -> Iterator[Finding]:
    from engines.launch.errors import ModelUnusable
    from engines.launch.model import resolve

    for group in _groups(setting):
        if group.engine == "simulated":
            continue
        name = f"model of {group.name}"
        try:
            model = resolve(
                group.model, where=f"engines.{group.name}.model", environ={**os.environ, **group.env}
            )
        except ModelUnusable as error:
            yield Finding(name, Level.FAIL, f"{error.what}: {error.why}", "cascadia check")
            continue
        shipped = "the bundled model" if group.model == BUNDLED_MODEL else str(model.folder)
        if model.folder is None:
            yield Finding(
                name, Level.WARN, f"{model.reference} will be downloaded by the engine", "cascadia check"
            )
        else:
            yield Finding(
                name, Level.OK, f"{shipped}, {model.weights_bytes() / (1 << 20):.1f} MiB of weights"
            )


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


def _redis(setting: Setting) -> Iterator[Finding]:
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
