"""`server` and `timeouts`: where the gateway listens, and for how long it waits."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from config.schema.addresses import HostName, Listen, Network, is_loopback
from config.schema.amounts import Seconds
from config.schema.section import Section, contradiction


class Server(Section):
    """Where the gateway listens and how much one request may send."""

    listen: Listen = Field("127.0.0.1:8000", description="Address of the API: HOST:PORT or unix:/path.")
    admin_listen: Listen = Field(
        "127.0.0.1:8001", description="Address of metrics and administration; keep it on loopback."
    )
    workers: Annotated[int, Field(ge=1, le=64)] = Field(
        1,
        description="Gateway processes on these addresses. Limits are counted for all of them together.",
    )
    insecure_listen: bool = Field(
        default=False, description="Allow a listen address other than loopback without TLS in front."
    )
    max_body_bytes: Annotated[int, Field(ge=1024, le=1 << 30)] = Field(
        8 * 1024 * 1024, description="Largest request body, in bytes; a larger one is answered 413."
    )
    max_connections: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        10_000, description="Client connections open at once; one more ends the oldest that sent no request."
    )
    max_connections_per_address: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        1024, description="The same for one client address. Trusted proxies and unix sockets are not counted."
    )
    allowed_hosts: tuple[HostName, ...] = Field(
        (),
        strict=False,
        description="Host names to answer to, besides addresses and localhost; '*' for all. "
        "Default: none on a loopback address, all on any other and on a unix socket.",
    )
    trusted_proxies: tuple[Network, ...] = Field(
        (),
        strict=False,
        description="Addresses or networks (CIDR) whose X-Forwarded-For is believed. Default: none.",
    )
    drain_delay_seconds: Annotated[float, Field(ge=0, le=3600)] = Field(
        0.0,
        description="How long to serve on after SIGTERM while /readyz already answers 503: a load balancer's time "
        "to look elsewhere.",
    )
    drain_seconds: Annotated[float, Field(ge=0, le=86_400)] = Field(
        120.0, description="How long running requests may finish after SIGTERM before they are cut."
    )

    @model_validator(mode="after")
    def _others_are_kept_out(self) -> Server:
        for name in ("listen", "admin_listen"):
            address = getattr(self, name)
            if not self.insecure_listen and not is_loopback(address):
                raise contradiction(
                    f"'server.{name}' is {address}, which other machines can reach",
                    why="keys and prompts would cross the network unencrypted: the gateway speaks no TLS itself",
                    hint="listen on 127.0.0.1 behind a TLS proxy, or add 'insecure_listen: true' in a closed network",
                    below=(name,),
                )
        return self

    @model_validator(mode="after")
    def _two_addresses(self) -> Server:
        if self.listen == self.admin_listen and not self.listen.endswith(":0"):
            raise contradiction(
                f"'server.listen' and 'server.admin_listen' are both {self.listen}",
                why="the API and the administration are two servers",
                hint="give admin_listen another port",
                below=("admin_listen",),
            )
        return self


class Timeouts(Section):
    """Bounds on each wait of one request, in seconds."""

    header: Seconds = Field(
        10.0, description="From the first byte of a request, or the connection, to the end of its head."
    )
    body: Seconds = Field(
        30.0, description="From the head of a request to the end of its body; 1 KiB/s at least."
    )
    idle: Seconds = Field(75.0, description="A kept connection without a request.")
    connect: Seconds = Field(1.0, description="Connecting to an engine.")
    queue: Seconds = Field(30.0, description="Waiting for a free replica.")
    first_token: Seconds = Field(120.0, description="From dispatch to the first byte of content.")
    stall: Seconds = Field(30.0, description="Between two reads of an answer that has begun.")
    total: Seconds = Field(600.0, description="From arrival to the last byte.")
