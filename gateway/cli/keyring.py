"""The first key of a configuration, as the verbs that start a gateway make it."""

from __future__ import annotations

from config.paths import Paths
from config.schema import Config
from gateway.databases import database_of
from gateway.identity import identity_of, key_file


def first_key(config: Config, paths: Paths) -> str | None:
    """The text of a key made now because there was no key file; `None` when there is one, or none is needed.

    Raises `KeyFileError` when there is one that cannot be used.
    """
    if config.auth.mode != "keys" or config.identity.store == "database":
        return None
    created = key_file(config, paths).create_first()
    if created is None:
        identity_of(config, paths, database_of(config, paths))
        return None
    return created.text
