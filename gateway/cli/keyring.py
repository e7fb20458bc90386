"""The key file of a configuration, as the verbs use it."""

from __future__ import annotations

import time

from config.paths import Paths
from config.schema import Config
from gateway.auth.keys import FileKeys, KeyFile


def key_file(config: Config, paths: Paths) -> KeyFile:
    """The key file that `config` names."""
    return KeyFile(config.auth.keys_file or paths.keys, paths.pepper, time.time)


def first_key(config: Config, paths: Paths) -> str | None:
    """The text of a key made now because there was no key file; `None` when there is one, or none is needed.

    Raises `KeyFileError` when there is one that cannot be used.
    """
    if config.auth.mode != "keys":
        return None
    file = key_file(config, paths)
    created = file.create_first()
    if created is None:
        FileKeys(file)
        return None
    return created.text
