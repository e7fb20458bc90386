"""The database that a configuration names."""

from __future__ import annotations

import os

from config import secret_files
from config.paths import Paths
from config.schema import Config
from gateway.store import Database, postgres, sqlite


def database_of(config: Config, paths: Paths) -> Database:
    """The database, not open. Raises `SecretFileError` when its password cannot be read."""
    url, password, file = config.database.url, config.database.password, config.database.password_file
    if url is None:
        return Database(sqlite(paths.database))
    if file is not None:
        return Database(postgres(url, secret_files.read(file, os.environ)))
    return Database(postgres(url, None if password is None else password.get_secret_value()))
