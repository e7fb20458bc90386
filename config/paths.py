"""Where state lives on disk: one data folder, every path in it derived here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from config.schema import Config
from engines import roster


@dataclass(frozen=True, slots=True)
class Paths:
    """The data folder and what is in it. Nothing is created by looking."""

    data: Path
    engine: Path | None = None
    """The engine's Python environment where one is configured."""

    @property
    def keys(self) -> Path:
        """Hashed API keys."""
        return self.data / "keys.json"

    @property
    def pepper(self) -> Path:
        """The secret under which API keys are hashed."""
        return self.data / "pepper"

    @property
    def database(self) -> Path:
        """The SQLite database, where no other is configured."""
        return self.data / "cascadia.db"

    @property
    def secret(self) -> Path:
        """The secret from which a key for each purpose is derived."""
        return self.data / "secret"

    @property
    def admin_tokens(self) -> Path:
        """Hashed admin tokens."""
        return self.data / "admin.json"

    @property
    def first_admin_token(self) -> Path:
        """The text of the first admin token, where its owner has not moved it. Mode 0600."""
        return self.data / "admin.token"

    @property
    def audit(self) -> Path:
        """The audit log."""
        return self.data / "audit.jsonl"

    @property
    def census(self) -> Path:
        """How many gateways shared the counts of limits, as last heard."""
        return self.data / "gateways.json"

    @property
    def ledger(self) -> Path:
        """The spool of usage records on their way to the database. Mode 0700."""
        return self.data / "ledger"

    @property
    def run(self) -> Path:
        """Sockets and process records, valid for one life of the machine. Mode 0700."""
        return self.data / "run"

    @property
    def engine_sockets(self) -> Path:
        """Unix sockets of the engine workers. Mode 0700."""
        return self.run / "engines"

    @property
    def valkey_socket(self) -> Path:
        """Unix socket of the Valkey that `cascadia up` runs itself."""
        return self.run / "valkey.sock"

    @property
    def roster(self) -> Path:
        """What the engine supervisor publishes about its workers."""
        return self.run / roster.FILE_NAME

    @property
    def effective_config(self) -> Path:
        """The configuration that `cascadia up` gave its two children. Mode 0600: it holds secrets."""
        return self.run / "config.json"

    @property
    def logs(self) -> Path:
        """Log files of the workers."""
        return self.data / "logs"

    @property
    def engine_environment(self) -> Path:
        """The engine's Python environment: the configured one, else where `cascadia engines install` puts it."""
        return self.engine or self.data / "engine-venv"


def default_data_dir(environ: Mapping[str, str]) -> Path:
    """The data folder when none is configured: `$XDG_DATA_HOME/cascadia`, else `~/.local/share/cascadia`."""
    base = Path(environ.get("XDG_DATA_HOME", ""))
    if base.is_absolute():
        return base / "cascadia"
    return Path(environ.get("HOME", "/")) / ".local" / "share" / "cascadia"


def paths_of(config: Config, environ: Mapping[str, str]) -> Paths:
    """The folders that `config` names, else the defaults."""
    return Paths(config.data_dir or default_data_dir(environ), config.engine_environment)
