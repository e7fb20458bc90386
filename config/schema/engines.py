"""`engines` and `upstreams`: the workers to start here, and the servers that already run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, model_validator

from config.schema.addresses import SocketAddress, UpstreamUrl
from config.schema.amounts import Seconds
from config.schema.names import ModelName, Name
from config.schema.section import Section, both_given

BUNDLED_MODEL = "bundled"
"""The `model:` value that means the small model shipped inside the package."""


class EngineGroup(Section):
    """Identical engine workers that this machine starts and supervises for one model."""

    name: Name = Field(description="Name of the group; its workers are NAME-0, NAME-1, …")
    model: Annotated[str, Field(min_length=1, max_length=1024)] = Field(
        BUNDLED_MODEL, description="Folder or Hugging Face id of the weights; 'bundled' is the shipped model."
    )
    serve_as: tuple[ModelName, ...] = Field(
        (), strict=False, description="Public model names. Default: the group's name."
    )
    engine: Literal["vllm", "simulated"] = Field("vllm", description="Engine software.")
    replicas: Annotated[int, Field(ge=1, le=1024)] = Field(1, description="Number of workers.")
    gpus_per_replica: Annotated[int, Field(ge=0, le=64)] | None = Field(
        None, description="GPUs of one worker. Default: 1 where there is an NVIDIA GPU, else 0 (CPU)."
    )
    python: Path | None = Field(
        None,
        strict=False,
        description="Python of the engine's environment. Default: the one made by `cascadia engines install`.",
    )
    args: tuple[str, ...] = Field((), strict=False, description="More command-line arguments for the engine.")
    env: dict[str, str] = Field(
        default_factory=dict, description="More environment variables for the engine."
    )
    transport: Literal["unix", "tcp"] = Field(
        "unix", description="unix socket in a private folder, or 127.0.0.1."
    )
    max_in_flight: Annotated[int, Field(ge=1, le=100_000)] = Field(
        128, description="Calls one worker runs at once; the rest wait in the gateway's queue."
    )
    start_timeout: Seconds = Field(
        600.0, description="Seconds from start to ready before a worker is given up."
    )


class Events(Section):
    """Where a vLLM that was started with `--kv-events-config` says what its prefix cache holds."""

    endpoint: SocketAddress = Field(
        description="Its `endpoint`, as ipc:///path or tcp://HOST:PORT.", examples=["tcp://127.0.0.1:5557"]
    )
    replay_endpoint: SocketAddress = Field(
        description="Its `replay_endpoint`.", examples=["tcp://127.0.0.1:5558"]
    )
    tokenizer: Path = Field(
        strict=False,
        description="Folder with tokenizer.json and the chat template of its model.",
        examples=["/models/big"],
    )


class Upstream(Section):
    """A server that already runs and speaks the OpenAI API."""

    name: Name | None = Field(
        None, description="Name in metrics and logs. Default: upstream-N, its place in the list from 0."
    )
    url: UpstreamUrl = Field(
        description="http://HOST:PORT or unix:/path.", examples=["http://127.0.0.1:9000"]
    )
    api_key: SecretStr | None = Field(
        None, description="Key sent to this server. Use ${VAR} or api_key_file."
    )
    api_key_file: Path | None = Field(
        None, strict=False, description="File with the key sent to this server."
    )
    models: dict[ModelName, ModelName] = Field(
        default_factory=dict,
        description="Public name → the server's own model name. Empty: what its /v1/models lists.",
    )
    engine: Literal["vllm", "openai"] = Field("vllm", description="What runs there.")
    max_in_flight: Annotated[int, Field(ge=1, le=100_000)] = Field(128, description="Calls it runs at once.")
    kv_events: Events | None = Field(
        None, description="Where it says what its prefix cache holds, for admission.prefix_source: events."
    )

    @model_validator(mode="after")
    def _one_key(self) -> Upstream:
        if self.api_key is not None and self.api_key_file is not None:
            raise both_given("api_key", "api_key_file")
        return self


def upstream_id(index: int, upstream: Upstream) -> str:
    """The name of the server at `index` of the list, its own or the default one."""
    return upstream.name or f"upstream-{index}"
