"""The whole file, and the relations that one section cannot know."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from config.schema.admission import Admission
from config.schema.auth import Auth
from config.schema.database import Database, Ledger
from config.schema.engines import EngineGroup, Upstream, upstream_id
from config.schema.identity import People
from config.schema.limits import Limits, PricesOf
from config.schema.logging import Explain, Logging
from config.schema.models import Routing, check_models
from config.schema.names import ModelName
from config.schema.redis import Redis
from config.schema.requests import Caps, Isolation, Requests
from config.schema.section import Section, contradiction
from config.schema.server import Server, Timeouts

_Named = EngineGroup | Upstream


class Config(Section):
    """The whole file."""

    version: Literal[1] = Field(1, description="Version of this format.")
    data_dir: Path | None = Field(
        None, strict=False, description="Keys, sockets and state. Default: $XDG_DATA_HOME/cascadia."
    )
    engine_environment: Path | None = Field(
        None,
        strict=False,
        description="Python environment of the engines. Default: engine-venv in data_dir.",
    )
    server: Server = Field(default_factory=Server)
    auth: Auth = Field(default_factory=Auth)
    identity: People = Field(default_factory=People)
    timeouts: Timeouts = Field(default_factory=Timeouts)
    admission: Admission = Field(default_factory=Admission)
    requests: Requests = Field(default_factory=Requests)
    caps: Caps = Field(default_factory=Caps)
    limits: Limits = Field(default_factory=Limits)
    prices: dict[ModelName, PricesOf] = Field(
        default_factory=dict,
        description="What models cost, for limits on cost: public name, then input, cached_input and output for a "
        "million tokens. A model without prices costs nothing.",
    )
    models: dict[ModelName, Routing] = Field(
        default_factory=dict,
        description="Where calls go, for names that more than one model serves: public name, then split, fallbacks and others.",
    )
    engines: tuple[EngineGroup, ...] = Field(
        (), strict=False, description="Workers to start on this machine."
    )
    upstreams: tuple[Upstream, ...] = Field((), strict=False, description="Servers that already run.")
    redis: Redis | None = Field(None, description="Shared state. Not needed for one gateway.")
    database: Database = Field(default_factory=Database)
    isolation: Isolation = Field(default_factory=Isolation)
    explain: Explain = Field(default_factory=Explain)
    ledger: Ledger = Field(default_factory=Ledger)
    logging: Logging = Field(default_factory=Logging)

    @model_validator(mode="after")
    def _salts_have_one_owner(self) -> Config:
        if "cache_salt" in self.requests.allowed_fields and self.isolation.share_prefixes != "all":
            raise contradiction(
                "'requests.allowed_fields' lets callers send cache_salt, which 'isolation.share_prefixes' sets itself",
                why="who chooses a salt chooses whose cached prompts to read",
                hint="leave cache_salt out, or set 'isolation.share_prefixes: all'",
                below=("requests", "allowed_fields"),
            )
        return self

    @model_validator(mode="after")
    def _no_upstream_is_named_like_a_worker(self) -> Config:
        workers = {f"{group.name}-{index}" for group in self.engines for index in range(group.replicas)}
        for index, upstream in enumerate(self.upstreams):
            if upstream_id(index, upstream) in workers:
                raise contradiction(
                    f"the name '{upstream_id(index, upstream)}' is that of a worker in 'engines' too",
                    why="names tell workers and servers apart in metrics, logs and commands",
                    hint="give this server another name",
                    below=("upstreams", index, "name"),
                )
        return self

    @field_validator("models")
    @classmethod
    def _models_go_together(cls, value: dict[str, Routing]) -> dict[str, Routing]:
        check_models(value)
        return value

    @model_validator(mode="after")
    def _processes_count_together(self) -> Config:
        if self.server.workers > 1 and self.limits.store == "memory":
            raise contradiction(
                f"'limits.store' is memory and 'server.workers' is {self.server.workers}",
                why="each process would count for itself, and all together let through as many times the limit",
                hint="leave limits.store out: limits are then counted for all processes together",
                below=("limits", "store"),
            )
        return self

    @field_validator("engines", "upstreams")
    @classmethod
    def _names_are_unique(cls, value: tuple[_Named, ...]) -> tuple[_Named, ...]:
        first: dict[str, int] = {}
        for index, item in enumerate(value):
            if item.name is None:
                continue
            if item.name in first:
                raise contradiction(
                    f"the name '{item.name}' is used twice",
                    why="names tell workers and servers apart in metrics, logs and commands",
                    hint="give this one another name",
                    below=(index, "name"),
                )
            first[item.name] = index
        return value
