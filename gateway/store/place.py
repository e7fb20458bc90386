"""Where the database is, as a value: read from an address, shown without its password.

Imports nothing of SQLAlchemy: an address is checked when the program starts, the library is loaded later.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from urllib.parse import parse_qsl, unquote, urlsplit

TLS_MODES = frozenset({"disable", "allow", "prefer", "require", "verify-ca", "verify-full"})
"""What `sslmode` may be: the words of libpq, Postgres's own client."""
_KNOWN = frozenset({"sslmode", "host", "port"})


class PlaceError(ValueError):
    """An address of a database that cannot be meant. The text says why and holds no password."""


@dataclass(frozen=True, slots=True)
class Place:
    """One database. `file` for SQLite, else a Postgres server: a host, or the folder of its unix socket."""

    file: Path | None = None
    host: str | None = None
    port: int | None = None
    name: str | None = None
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: str | None = None

    @property
    def is_sqlite(self) -> bool:
        """Whether the database is a file of this machine."""
        return self.file is not None

    def __str__(self) -> str:
        if self.file is not None:
            return f"sqlite:///{self.file}"
        port = "" if self.port is None else f":{self.port}"
        return f"postgresql://{self.host}{port}/{self.name}"


def sqlite(file: Path) -> Place:
    """The SQLite database in `file`, which is created when it is opened."""
    return Place(file=file)


def postgres(url: str, password: str | None = None) -> Place:
    """The Postgres database at `postgresql://[USER@]HOST[:PORT]/NAME[?sslmode=MODE]`.

    `?host=/FOLDER` names the folder of a unix socket instead of a host. Raises `PlaceError`.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise PlaceError("the port is not a number") from None
    if parts.scheme not in {"postgresql", "postgres"}:
        raise PlaceError("expected postgresql://[USER@]HOST[:PORT]/NAME")
    if parts.password is not None:
        raise PlaceError("the address of a database holds no password: use password or password_file")
    options = _options(parts.query)
    host = parts.hostname or options.get("host")
    name = unquote(parts.path.lstrip("/"))
    if not host or not name or "/" in name:
        raise PlaceError("expected postgresql://[USER@]HOST[:PORT]/NAME")
    if port is None and "port" in options:
        port = int(options["port"])
    user = None if parts.username is None else unquote(parts.username)
    return Place(host=host, port=port, name=name, user=user, password=password, tls=options.get("sslmode"))


def _options(query: str) -> Mapping[str, str]:
    options = dict(parse_qsl(query))
    for unknown in sorted(options.keys() - _KNOWN):
        raise PlaceError(f"'{unknown}' is not understood after the '?': sslmode, host and port are")
    if options.get("sslmode", "prefer") not in TLS_MODES:
        raise PlaceError(f"sslmode is one of {', '.join(sorted(TLS_MODES))}")
    if not options.get("port", "1").isdigit():
        raise PlaceError("the port is not a number")
    return MappingProxyType(options)
