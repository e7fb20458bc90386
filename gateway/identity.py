"""From a checked configuration to who may call: the directory, and what answers from it. For the gateway and the commands."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from config.paths import Paths
from config.schema import Config
from gateway.auth.anonymous import Anonymous
from gateway.auth.base import Authenticator
from gateway.auth.callers import Keys
from gateway.auth.directory.contents import EMPTY, Contents, merged
from gateway.auth.directory.directory import Directory
from gateway.auth.keys import FileStore, KeyFile
from gateway.auth.keytext import Mint
from gateway.auth.refusal import Refusals
from gateway.openai.operations import MODELS, OPERATIONS

OPERATION_NAMES = frozenset({MODELS, *(operation.name for operation in OPERATIONS.values())})
"""What a key may be restricted to."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What one process knows of callers. Without keys there is no directory."""

    authenticator: Authenticator
    refusals: Refusals
    directory: Directory | None = None


def key_file(config: Config, paths: Paths) -> KeyFile:
    """The key file that `config` names."""
    return KeyFile(config.auth.keys_file or paths.keys, paths.pepper, time.time)


def identity_of(config: Config, paths: Paths, *, clock: Callable[[], float] = time.time) -> Identity:
    """Callers as `config` has them. `clock` gives Unix seconds.

    Raises `KeyFileError` when the key file cannot be read, `DirectoryConflict` when it contradicts the configuration.
    """
    refusals = Refusals()
    if config.auth.mode == "anonymous":
        return Identity(Anonymous(), refusals)
    file = key_file(config, paths)
    mint = file.mint()
    keys = Keys(mint, refusals, clock=clock)
    return Identity(keys, refusals, _directory(file, lambda: mint, clock, keys.publish))


def directory_of(config: Config, paths: Paths, *, clock: Callable[[], float] = time.time) -> Directory:
    """The directory alone, also where everybody may call. Raises as `identity_of`."""
    file = key_file(config, paths)
    return _directory(file, file.mint, clock, lambda _: None)


def _directory(
    file: KeyFile, mint: Callable[[], Mint], clock: Callable[[], float], on_change: Callable[[Contents], None]
) -> Directory:
    store, declared = FileStore(file), Contents()
    directory = Directory(store, declared, mint, operations=OPERATION_NAMES, clock=clock, on_change=on_change)
    dynamic = store.fetch_now() or EMPTY
    merged(declared, dynamic)
    directory.publish(dynamic)
    return directory
