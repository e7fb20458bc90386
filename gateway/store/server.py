"""How a Postgres server is connected to: the arguments of its driver, and the longest that anything waits."""

from __future__ import annotations

from typing import Any

from gateway.store.place import Place

CONNECT_SECONDS = 10.0
COMMAND_SECONDS = 60.0
"""The longest that one statement may take."""


def connect_arguments(place: Place) -> dict[str, Any]:
    """For `asyncpg.connect`."""
    arguments: dict[str, Any] = {
        "host": place.host,
        "port": place.port,
        "user": place.user,
        "password": place.password,
        "database": place.name,
        "ssl": place.tls,
    }
    given = {name: value for name, value in arguments.items() if value is not None}
    return {**given, "timeout": CONNECT_SECONDS, "command_timeout": COMMAND_SECONDS}
