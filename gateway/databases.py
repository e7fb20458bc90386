"""The database that a configuration names."""

from __future__ import annotations

import os

from config import secret_files
from config.paths import Paths
from config.schema import Config
from gateway.store import Database, postgres, sqlite


def database_of(config: Config, paths: Paths) -> Database:
    """The database, not open. Raises `SecretFileError` when its password cannot be read."""
    wanted = config.database
    if wanted.url is None:
        return Database(sqlite(paths.database))
    password = secret_files.secret_of(wanted.password, wanted.password_file, os.environ)
    return Database(postgres(wanted.url, password))
