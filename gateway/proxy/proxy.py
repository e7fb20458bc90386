"""What every Exchange needs, and the list of those that live.

Built once by `app`; the drivers call `open` for each request, the app calls `sweep` twice a second.
"""

from __future__ import annotations

import logging
import math
import random
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from gateway.admission import Admission
from gateway.auth.base import Authenticator
from gateway.auth.credential import bearer
from gateway.core.call import Operation, Principal
from gateway.core.errors import (
    BodyTooLarge,
    Draining,
    Forbidden,
    GatewayError,
    InvalidRequest,
    UnsupportedMediaType,
)
from gateway.core.outcome import End, OnEnd
from gateway.fleet.catalog import Catalog
from gateway.ledger import Ledger, Open
from gateway.openai.envelope import Reader
from gateway.openai.names import Rename
from gateway.openai.rules import Rules
from gateway.proxy.aside import Aside, AtOnce
from gateway.proxy.budget import RetryBudget
from gateway.proxy.client import Client
from gateway.proxy.endings import exhausted
from gateway.proxy.exchange import Exchange
from gateway.proxy.isolation import Isolation
from gateway.proxy.quarantine import Quarantine
from gateway.proxy.states import State
from gateway.ratelimit.limiter import Limiter
from gateway.transport import Transport

log = logging.getLogger(__name__)

SWEEP_EVERY = 0.5
"""Seconds between two sweeps: how late a timeout may be. One timer for all calls, not one for each."""
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Bounds on each wait of a call, in seconds."""

    body: float = 30.0
    """From the head of a request to the end of its body."""
    queue: float = 30.0
    first_token: float = 120.0
    """From dispatch to the first content of a stream."""
    stall: float = 30.0
    """Between two reads of a stream, and between two writes to a client that does not read."""
    total: float = 600.0
    retry_after: int = 1
    """What to name in `retry-after` when an engine turned a call away."""


class Proxy:
    """The data plane without its sockets."""

    def __init__(
        self,
        *,
        authenticator: Authenticator,
        catalog: Catalog,
        admission: Admission,
        transport: Transport,
        timeouts: Timeouts,
        max_body_bytes: int,
        max_held_bytes: int = 1 << 30,
        clock: Callable[[], float],
        rng: random.Random,
        on_end: OnEnd,
        rules: Rules = Rules(),  # noqa: B008 - a frozen value
        aside: Aside = AtOnce(),  # noqa: B008 - it has no state
        engines_know_tiers: bool = False,
        ledger: Ledger | None = None,
        isolation: Isolation | None = None,
        limiter: Limiter | None = None,
        session_header: str | None = None,
    ) -> None:
        self.authenticator = authenticator
        self.catalog = catalog
        self.admission = admission
        self.transport = transport
        self.timeouts = timeouts
        self.max_body_bytes = max_body_bytes
        self.clock = clock
        self.engines_know_tiers = engines_know_tiers
        """Engines order what they hold by priority, too: they are told of it."""
        self.isolation = isolation
        self.reader = Reader(rules)
        self.aside = aside
        self.ledger = ledger
        self.limiter = limiter
        """`None` where nothing is limited."""
        self.is_leaving = False
        """The gateway is about to stop: it serves, and asks its clients to connect anew."""
        self._is_draining = False
        self.is_full = False
        """The process has hardly any memory left."""
        self.held_bytes = 0
        """Of all requests and answers that are held now."""
        self.max_held_bytes = max_held_bytes
        self._session_header = None if session_header is None else session_header.encode()
        self._read = _READ if self._session_header is None else _READ | {self._session_header}
        self._rng = rng
        self._on_end = on_end
        self._live: dict[Exchange, None] = {}  # a set's order is that of addresses in memory
        self.quarantine = Quarantine(rng.randbytes(32), clock=clock)
        self._budgets: dict[str, RetryBudget] = {}
        self._renames: dict[tuple[str, str], Rename] = {}

    def __repr__(self) -> str:
        return f"<Proxy {len(self._live)} live{', draining' if self.is_draining else ''}>"

    @property
    def is_draining(self) -> bool:
        """Whether what is new is refused, since the gateway stops."""
        return self._is_draining

    @is_draining.setter
    def is_draining(self, is_draining: bool) -> None:
        self._is_draining = is_draining
        self.is_leaving = self.is_leaving or is_draining

    @property
    def live(self) -> int:
        """Calls that are not over."""
        return len(self._live)

    def open(  # noqa: C901, PLR0912 - a branch for each header, and no call for any
        self, operation: Operation, headers: Iterable[tuple[bytes, bytes]], client: Client
    ) -> Exchange:
        """Begin a call from its head (lower-case header names). Never raises: see `Exchange.refusal`."""
        request_id = credential = other = session = None
        refusal: GatewayError | None = None
        principal: Principal | None = None
        total = silence = None
        may_fall_back, read = True, self._read
        try:
            for name, value in headers:
                if name not in read:
                    continue
                if name == b"authorization":
                    credential = bearer(value, credential)
                elif name == b"x-api-key":
                    other = value
                elif name == b"x-request-deadline-ms":
                    total = _milliseconds(value)
                elif name == b"x-stainless-read-timeout":
                    silence = _seconds(value)
                elif name == b"x-cascadia-fallback":
                    may_fall_back = _is_on(value)
                elif name == self._session_header:
                    session = _session(value)
                elif name != b"x-request-id":
                    self._check(name, value)
                elif _REQUEST_ID.fullmatch(value):
                    request_id = value.decode()
            if other is not None and credential is not None:
                raise InvalidRequest("More than one credential: send Authorization or x-api-key, not both.")
            principal = self.authenticator.authenticate(credential, client.address)
            may_call = principal.may_call(operation.name)
            if self._is_draining or self.is_full or not may_call:
                raise self._closed(may_call=may_call)
        except GatewayError as error:
            refusal = error.with_traceback(None)  # a traceback holds this frame, and the frame would hold it
            request_id = request_id or _wanted_id(headers)
        engine_id = self._engine_id(request_id)
        exchange = Exchange(self, client, operation, request_id or engine_id, engine_id, principal, refusal)
        if total is not None or silence is not None:
            exchange.hurry(total=total, silence=silence)
        if session is not None or not may_fall_back:
            exchange.steer(session=session, may_fall_back=may_fall_back)
        self._live[exchange] = None
        return exchange

    def _closed(self, *, may_call: bool) -> GatewayError:
        if not may_call:
            return Forbidden("This key may not be used for this.")
        if self.is_draining:
            return Draining("This gateway is shutting down. Try again.", retry_after=1)
        return exhausted()

    def _engine_id(self, request_id: str | None) -> str:
        """A name for the call that no other call has at any engine."""
        if request_id:
            return f"{request_id}-{self._rng.getrandbits(32):08x}"
        return "req-%024x" % self._rng.getrandbits(96)  # noqa: UP031 - three quarters of what an f-string takes

    def draw(self) -> int:
        """64 bits by chance."""
        return self._rng.getrandbits(64)

    def rename(self, upstream: str, public: str) -> Rename:
        """The renaming of a model in its answers, made once for each pair."""
        found = self._renames.get((upstream, public))
        if found is None:
            found = self._renames[upstream, public] = Rename(upstream, public)
        return found

    def budget(self, model: str) -> RetryBudget:
        """How much of a model's calls may be sent again."""
        found = self._budgets.get(model)
        if found is None:
            found = self._budgets[model] = RetryBudget(self.clock)
        return found

    def sweep(self) -> None:
        """End what has waited too long, serve who can be served."""
        now = self.clock()
        for exchange in list(self._live):
            self._tick(exchange, now)
        for replica in self.catalog.replicas():
            replica.tick(now)
        for pool in self.catalog.pools():
            pool.tick()
        self.quarantine.sweep()
        self.admission.wake()

    def _tick(self, exchange: Exchange, now: float) -> None:
        """Tell one call the time. What fails then is the end of this one, not of the sweep."""
        try:
            exchange.tick(now)
        except Exception:
            log.exception("a call failed in the gateway", extra={"request_id": exchange.request_id})
            exchange.broke()
            self._live.pop(exchange, None)

    def cut(self) -> None:
        """End every call that is not over: the process is about to stop.

        Those that no engine works on go first, or each slot that comes free would start one of them.
        """
        for exchange in sorted(self._live, key=_is_at_an_engine):
            exchange.cut(Draining("This gateway is shutting down. Try again.", retry_after=1))

    def ended(self, exchange: Exchange, record: Open | None, end: End) -> None:
        """An Exchange is over. `record` is what was opened for it in the ledger."""
        self._live.pop(exchange, None)
        if record is not None and self.ledger is not None:
            self.ledger.ended(record, end)
        self._on_end(end)

    def _check(self, name: bytes, value: bytes) -> None:
        """One of the headers that say what the body is."""
        if name == b"content-length":
            if not value.isdigit():
                raise InvalidRequest("The content-length is not a number.")
            if int(value) > self.max_body_bytes:
                raise too_large(self.max_body_bytes)
        elif name == b"content-encoding":
            if value.lower() != b"identity":
                raise UnsupportedMediaType("Compressed request bodies are not accepted.")
        elif value != _JSON and value.split(b";", 1)[0].strip().lower() != _JSON:
            raise UnsupportedMediaType(
                "The request body must be JSON: send `content-type: application/json`."
            )


def _is_at_an_engine(exchange: Exchange) -> bool:
    return exchange.state not in {State.READING, State.PARSING, State.RESERVING, State.WAITING}


def _wanted_id(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """The request id that a head asks for, wherever in it that stands."""
    for name, value in headers:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            return value.decode()
    return None


def _milliseconds(value: bytes) -> float:
    """How long a client waits for all of its answer, in seconds. Raises `InvalidRequest`."""
    if not value.isdigit() or len(value) > _LONGEST_NUMBER:
        raise InvalidRequest(
            "x-request-deadline-ms is not a whole number of milliseconds.", param="x-request-deadline-ms"
        )
    return int(value) / 1000


def _seconds(value: bytes) -> float | None:
    """How long an SDK waits without a byte, in seconds; `None` when it does not say: its user did not write this."""
    try:
        seconds = float(value)
    except ValueError:
        return None
    return seconds if 0 < seconds < math.inf else None


def _is_on(value: bytes) -> bool:
    """Whether another model than the one asked for will do. Raises `InvalidRequest`."""
    if value not in {b"on", b"off"}:
        raise InvalidRequest("x-cascadia-fallback has to be on or off.", param="x-cascadia-fallback")
    return value == b"on"


def _session(value: bytes) -> str | None:
    """A session as a header names it; `None` for an empty value and one longer than a name is."""
    return value.decode("latin-1") if 0 < len(value) <= _LONGEST_SESSION else None


_READ = frozenset(
    {
        b"authorization",
        b"x-api-key",
        b"x-request-id",
        b"content-length",
        b"content-encoding",
        b"content-type",
        b"x-request-deadline-ms",
        b"x-stainless-read-timeout",
        b"x-cascadia-fallback",
    }
)
_LONGEST_SESSION = 256
_LONGEST_NUMBER = 12
"""Digits: thirty years."""
_JSON = b"application/json"


def too_large(max_body_bytes: int) -> BodyTooLarge:
    """The refusal of a body over the cap."""
    return BodyTooLarge(f"The request body is larger than the {max_body_bytes} bytes allowed.")
