"""`redis`: the server that several gateways share."""

from __future__ import annotations

from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, model_validator

from config.schema.addresses import HostPort, RedisUrl
from config.schema.names import Name
from config.schema.section import Section, both_given, contradiction


class Redis(Section):
    """A Redis or Valkey server for state that several gateways share."""

    url: RedisUrl = Field(
        description="redis://[USER@]HOST[:PORT][/DB], rediss:// for TLS, or unix:///path.",
        examples=["redis://127.0.0.1:6379/0"],
    )
    password: SecretStr | None = Field(None, description="Password. Use ${VAR} or password_file.")
    password_file: Path | None = Field(None, strict=False, description="File with the password.")
    kind: Literal["server", "sentinel", "cluster"] = Field(
        "server",
        description="What the URL leads to. sentinel: a Sentinel, which is asked for `master`. cluster: any node.",
    )
    master: Name | None = Field(None, description="What the Sentinels call the server.")
    others: tuple[HostPort, ...] = Field(
        (), strict=False, description="HOST:PORT of more Sentinels or nodes, asked when the first is gone."
    )
    ca_file: Path | None = Field(
        None,
        strict=False,
        description="Certificates that a rediss:// server is checked by. Default: the system's.",
    )

    @model_validator(mode="after")
    def _one_way(self) -> Redis:
        scheme = urlsplit(self.url).scheme
        if (self.kind == "sentinel") != (self.master is not None):
            raise contradiction(
                "'kind: sentinel' and 'master' go together",
                why="Sentinels know servers by name, and nobody else does",
                hint="give both, or neither",
                below=("master",) if self.kind != "sentinel" else ("kind",),
            )
        if self.others and self.kind == "server":
            raise contradiction(
                "'others' is given for a single server",
                why="it has no alternatives",
                hint="set kind: sentinel or kind: cluster, or remove others",
                below=("others",),
            )
        if self.kind != "server" and scheme == "unix":
            raise contradiction(
                f"'kind: {self.kind}' is given for a unix socket",
                why="Sentinels and Clusters tell hosts and ports",
                hint="use a redis:// or rediss:// URL",
                below=("kind",),
            )
        if self.kind == "cluster" and urlsplit(self.url).path.strip("/") not in {"", "0"}:
            raise contradiction(
                "a database is given for a Cluster",
                why="a Cluster has database 0 alone",
                hint="remove the number from the URL",
                below=("url",),
            )
        if self.ca_file is not None and scheme != "rediss":
            raise contradiction(
                "'ca_file' is given without TLS",
                why="nothing would be checked",
                hint="use a rediss:// URL, or remove ca_file",
                below=("ca_file",),
            )
        return self

    @model_validator(mode="after")
    def _one_password(self) -> Redis:
        if self.password is not None and self.password_file is not None:
            raise both_given("password", "password_file")
        return self
