"""The first key of a configuration, as the verbs that start a gateway make it."""

from __future__ import annotations

from config.paths import Paths
from config.schema import Config
from gateway.cli.auditing import audited
from gateway.cli.people import shown
from gateway.databases import database_of
from gateway.identity import identity_of, key_file


def first_key(config: Config, paths: Paths) -> str | None:
    """The text of a key made now because there never was a key file; `None` when there is one, or none is needed.

    Raises `KeyFileError` when there is one that cannot be used, `KeysGone` when there was one, and `AuditError`.
    """
    if config.auth.mode != "keys" or config.identity.store == "database":
        return None
    file = key_file(config, paths)
    if not file.is_first():
        identity_of(config, paths, database_of(config, paths))
        return None
    with audited(paths, "keys.create", "keys/first") as deed:
        created = file.create_first()
        if created is None:
            return None
        deed.tell(f"keys/{created.record.id}", after=shown(created.record))
        return created.text
