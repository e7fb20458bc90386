"""A schedule and its parts. Frozen values: times in seconds from the beginning, sizes in bytes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from simulation.world.wire import Cut, How, Wire


class Answering(StrEnum):
    """How an engine answers one request."""

    WELL = "well"
    STATUS = "status"  # an error status
    ERROR_EVENT = "error event"  # in-band under 200, then `[DONE]`
    GARBAGE = "garbage"  # under 200, something that is no answer
    NO_HTTP = "no http"
    EARLY_END = "early end"  # ends in good form, too early
    UNFINISHED = "unfinished"  # `[DONE]`, and no choice was finished
    CLOSE = "close"  # the connection ends
    HANG = "hang"  # nothing more comes
    DEATH = "death"  # the engine's process ends, and all that it was doing


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How one request is answered, and at what speed. What goes wrong does so after `at` pieces of the answer."""

    answering: Answering = Answering.WELL
    at: int = 0
    """0: before the head; 1: after the head alone; then one more for each event. -1: only the last chunk is missing."""
    delay: float = 0.01
    """From the request to the head."""
    gap: float = 0.01
    """Between two events."""
    tokens: int = 4
    """Events with content."""
    piece_bytes: int = 8
    """Text in each."""
    burst: int = 1
    """Events sent at once."""
    status: int = 500
    how: How = How.FIN
    variant: int = 0
    """Which of the kinds of garbage."""
    with_comments: bool = False
    with_interim: bool = False
    """`100 Continue` comes first."""
    with_more: bool = False
    """Events follow `[DONE]`."""
    closes: bool = False
    """Says `connection: close`."""


@dataclass(frozen=True, slots=True)
class EnginePlan:
    """One engine: what it serves, how it is reached, how it answers the requests it gets, in turn."""

    id: str
    address: str
    models: tuple[tuple[str, str], ...]
    """Pairs of public model name and the engine's own."""
    max_in_flight: int
    idle_seconds: float
    """How long the gateway keeps an idle connection to it."""
    keep_alive: float
    """How long the engine does."""
    wire: Wire
    cuts: tuple[tuple[int, Cut], ...]
    """Pairs of a connection's number and what breaks it."""
    behaviours: tuple[Behaviour, ...]


class What(StrEnum):
    """Something that happens at a given time."""

    DIES = "dies"  # the process: connections close, new ones are refused
    RETURNS = "returns"  # as another process, with a new address and a new key
    VANISHES = "vanishes"  # the host: nothing arrives any more
    REAPPEARS = "reappears"
    FREEZES = "freezes"  # SIGSTOP
    THAWS = "thaws"
    CLOSES_IDLE = "closes idle"  # every connection on which nothing runs
    TALKS_IDLE = "talks idle"  # says something on each of these, unasked
    IS_READY = "is seen ready"  # what discovery publishes
    IS_STARTING = "is seen starting"
    IS_DRAINING = "is seen draining"
    IS_DOWN = "is seen down"
    IS_GONE = "is seen gone"
    DRAIN = "drain"  # the gateway gets SIGTERM
    HURRY = "hurry"  # and another one
    IS_FULL = "is full"  # the gateway's memory
    HAS_ROOM = "has room"


@dataclass(frozen=True, slots=True)
class Happening:
    """`what` happens at `at`, to `engine` or to the gateway."""

    at: float
    what: What
    engine: str | None = None
    how: How = How.FIN


class Flaw(StrEnum):
    """What is wrong with a request, if anything."""

    NONE = "none"
    NOT_JSON = "not json"
    NO_SUCH_MODEL = "no such model"
    TOO_LARGE = "too large"
    NOT_HTTP = "not http"


@dataclass(frozen=True, slots=True)
class RequestPlan:
    """One request."""

    model: str
    stream: bool
    chat: bool = True
    usage: bool = False
    """Asks for the usage event itself."""
    choices: int = 1
    padding_bytes: int = 0
    chunked: bool = False
    is_1_0: bool = False
    """Speaks HTTP/1.0: the answer ends with the connection."""
    expects: bool = False
    """Says `Expect: 100-continue`."""
    flaw: Flaw = Flaw.NONE
    is_poison: bool = False
    """Kills every engine that works on it. All of these have the same body."""
    control: bool = False
    """Is `GET /livez`, no inference."""
    tier: str | None = None
    """The `service_tier` it asks for."""
    deadline_ms: int | None = None
    """How long it says that it waits."""
    think: float = 0.0
    """Pause before it, on a kept connection."""


class Leaving(StrEnum):
    """How a client leaves."""

    FIN = "fin"
    RST = "rst"
    HALF = "half"  # closes its side only, and goes on reading
    VANISH = "vanish"  # its host is gone: nobody is told


@dataclass(frozen=True, slots=True)
class Leave:
    """A client leaves after so many seconds or so many bytes received, whichever is given."""

    how: Leaving
    after_seconds: float | None = None
    after_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class ClientPlan:
    """One client connection."""

    at: float
    wire: Wire
    requests: tuple[RequestPlan, ...]
    cut: Cut | None = None
    is_pipelining: bool = False
    """Sends all its requests at once."""
    pieces: int = 1
    """The request is sent in so many."""
    pause: float = 0.0
    """Between two pieces."""
    stalls_after: int | None = None
    """Sends so many pieces of each request and no more."""
    read_pause: float = 0.0
    """After each read."""
    reads_bytes: int | None = None
    """Reads so much, and no more."""
    leave: Leave | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """How the gateway is configured."""

    connect: float
    queue: float
    first_token: float
    stall: float
    total: float
    drain_delay: float
    drain: float
    max_queue: int
    max_body_bytes: int
    policy: str
    driver: str
    ordering: str = "fair"
    limit: str = "fixed"
    when_empty: str = "refuse"
    route: str = "none"
    """fallback: `beta` stands in for `alpha`. split: both serve `alpha`, which stands in for `beta`."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """Everything that a simulation does not leave to the code that runs in it."""

    seed: int
    settings: Settings
    engines: tuple[EnginePlan, ...]
    clients: tuple[ClientPlan, ...]
    happenings: tuple[Happening, ...]
    calm: float
    """From here on nothing is broken any more: engines are up, and answer well."""
