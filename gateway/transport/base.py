"""The contract between an Exchange and what carries its request to an engine."""

from __future__ import annotations

from enum import Enum
from typing import Protocol

from gateway.core.call import Operation
from gateway.fleet.endpoint import Endpoint


class Loss(Enum):
    """How a sending ended without a complete answer."""

    REFUSED = "refused"  # no connection: the engine has read nothing
    OURS = "ours"  # no connection, for lack of something on this side: says nothing of the engine
    STALE = "stale"  # a kept connection closed before any byte came: the engine almost surely read nothing
    LOST = "lost"  # closed or reset before the answer was complete
    GARBAGE = "garbage"  # not HTTP


class Sink(Protocol):
    """Who is told what an engine answers. After the `last` data or `upstream_lost` nothing more comes."""

    def upstream_head(self, status: int, content_type: bytes) -> None:
        """Status and headers are there."""
        ...

    def upstream_data(self, data: bytes, *, last: bool) -> None:
        """More of the body, never an event split where it was not split on the wire. `last`: the answer is complete."""
        ...

    def upstream_lost(self, loss: Loss) -> None:
        """The answer will not be complete."""
        ...


class Sending(Protocol):
    """One request on its way. Belongs to the Exchange that began it."""

    def pause(self) -> None:
        """Stop reading: the client is slower than the engine."""
        ...

    def resume(self) -> None:
        """Read on."""
        ...

    def close(self) -> None:
        """Give up, in any phase: the engine sees the connection close and aborts. The sink is told nothing more."""
        ...


class Transport(Protocol):
    """Carries requests to engines."""

    def send(
        self,
        endpoint: Endpoint,
        operation: Operation,
        request_id: str,
        body: bytes,
        sink: Sink,
        *,
        fresh: bool,
    ) -> Sending:
        """Begin to send; returns at once. `fresh` asks for a new connection, not a kept one."""
        ...

    def forget(self, endpoint: Endpoint) -> None:
        """Close the idle connections to `endpoint`; those in use close when their answer is complete."""
        ...
