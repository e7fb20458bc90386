"""What was seen, by whom, in which order: the material that the invariants judge.

Numbers of events are those of the trace: of two events the one with the lower number came first.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field

from gateway.core.outcome import End
from gateway.fleet.endpoint import Condition, Endpoint
from gateway.fleet.replica import Replica
from simulation.actors.script import Piece
from simulation.schedule.values import ClientPlan, RequestPlan
from simulation.world.socket import Socket


@dataclass(slots=True)
class Dispatch:
    """A request that reached an engine whole."""

    engine: str
    marker: str
    address: str
    model: str
    key: str | None
    sent: int
    """The event with which the gateway sent it, or began the connection it was sent on."""
    is_reused: bool
    """The connection had carried another request before."""
    socket: Socket
    """The gateway's end of the connection."""
    heard_before: int
    """Bytes that had come to it before."""
    is_poison: bool = False
    """The engine died of it."""
    turns_away: bool = False
    """The engine says that it is too busy, and does not work on it."""
    pieces: tuple[Piece, ...] = ()
    written: int = 0
    """Pieces of the answer that were written."""
    is_over: bool = False
    """Answered to the end as far as the engine is concerned, or given up since its connection closed."""

    @property
    def heard_bytes(self) -> int:
        """Bytes that reached the gateway on this connection since."""
        return self.socket.read_bytes - self.heard_before

    @property
    def shown(self) -> bytes:
        """What of the answer may be shown to a client, the usage event included."""
        return b"".join([piece.shown for piece in self.pieces[: self.written]])

    @property
    def is_complete(self) -> bool:
        """Whether it was a whole and proper answer."""
        return any(piece.completes for piece in self.pieces[: self.written])


@dataclass(slots=True)
class Seen:
    """One answer as its client read it."""

    status: int = 0
    headers: dict[bytes, bytes] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)
    is_complete: bool = False
    """Its framing says that all of it is there."""
    began: int = 0
    """The event with which the gateway wrote its first byte."""


@dataclass(slots=True)
class Asked:
    """One request of a client."""

    marker: str
    plan: RequestPlan
    client: ClientPlan
    answer: Seen | None = None
    sent_whole: float | None = None
    """When its last byte was given to the network."""
    was_begun: bool = False
    over_at: float | None = None
    """When it was answered, or the connection ended, or the client left."""
    left: bool = False
    """The client left before it was over."""


@dataclass(slots=True)
class Published:
    """What discovery said from event `since` on, which was at `at`."""

    since: int
    at: float
    sightings: dict[str, tuple[Endpoint, Condition]]


@dataclass(slots=True)
class History:
    """Everything that was seen in one simulation."""

    asked: list[Asked] = field(default_factory=list)
    dispatches: list[Dispatch] = field(default_factory=list)
    connects: list[tuple[int, str]] = field(default_factory=list)
    """The event before each connection that the gateway began, and where to."""
    ends: list[End] = field(default_factory=list)
    published: list[Published] = field(default_factory=list)
    replicas: dict[Replica, None] = field(default_factory=dict)
    """Every replica there ever was."""
    problems: list[tuple[str, str]] = field(default_factory=list)
    """Invariant and description of what was seen to be broken while it ran."""
    faults: dict[str, int] = field(default_factory=dict)
    """Faults that struck, by kind."""

    def seen_at(self, number: int) -> dict[str, tuple[Endpoint, Condition]]:
        """What discovery said when event `number` happened."""
        return self.published[bisect_right(self.published, number, key=_since) - 1].sightings

    def seen_dead(self, engine: str, number: int) -> float | None:
        """When, after event `number`, discovery first said that `engine` is not ready."""
        for each in self.published:
            sighting = each.sightings.get(engine)
            if each.since > number and (sighting is None or sighting[1] is not Condition.READY):
                return each.at
        return None

    def strike(self, fault: str) -> None:
        """A fault struck."""
        self.faults[fault] = self.faults.get(fault, 0) + 1


def _since(published: Published) -> int:
    return published.since
